//! What inrush counts: one block of numbers per core and per worker, summed when they are read.
//!
//! Nothing is shared on the hot path. A block stands on cache lines of its own, only its core or worker writes
//! to it, and a write is a plain load and store ([`Counter`] says why that is enough). The control thread
//! reads the blocks whenever somebody asks for `/metrics`. The amount of text depends on the number of cores and
//! workers and on what is installed, never on traffic: no label holds anything that a sender chose.
//!
//! Names follow Prometheus: base units (seconds, bytes), `_total` on counters. Every number is exported per core
//! or worker, `inrush_requests_total{core="0",status="200"}`, and summed under a name of its own,
//! `inrush_all_cores_requests_total{status="200"}`, so that a `sum` over one name never counts twice. A worker's
//! are called `inrush_worker_…{worker="0"}` and `inrush_all_workers_…`. Those of triggers and their nodes are sums over
//! all workers already: `inrush_trigger_events_total{webhook="orders",trigger="archive"}`.

mod counter;
mod prometheus;
mod status;
mod triggers;

pub use counter::{Counter, Gauge, Histogram};
pub use status::ByStatus;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;
pub use triggers::{NodeBlock, NodeCounts, TriggerBlock, TriggerCounts, TriggerMetrics};

/// Declares a block of numbers together with its rows of `/metrics`, so that no number can be counted and never
/// shown: the first paragraph of a field's comment is its HELP, the field's type its TYPE, the text its name.
macro_rules! block {
    ($(#[doc = $about:literal])* $block:ident {
        $($(#[doc = $help:literal])* $(#[cfg($when:meta)])? $field:ident: $kind:ty = $name:literal,)*
    }) => {
        $(#[doc = $about])*
        // Two cache lines: the CPU fetches lines in pairs, and the neighbour belongs to another thread.
        #[repr(align(128))]
        #[derive(Debug, Default)]
        pub struct $block { $($(#[doc = $help])* $(#[cfg($when)])? pub $field: $kind,)* }

        impl prometheus::Block for $block {
            const ROWS: &'static [prometheus::Row<Self>] = &[$($(#[cfg($when)])? prometheus::Row {
                name: $name,
                help: concat!($($help),*),
                read: |block| prometheus::Read::read(&block.$field),
            },)*];
        }
    };
}

block! {
    /// What one core counts; only that core writes it.
    CoreMetrics {
        /// Connections accepted.
        connections_accepted: Counter = "connections_accepted_total",
        /// Connections refused because the server had as many as it allows.
        connections_refused: Counter = "connections_refused_total",
        /// Connections that ended in a panic, which is a bug in inrush.
        connections_panicked: Counter = "connections_panicked_total",
        /// Connections open now.
        connections_open: Gauge = "connections_open",
        /// Accepts that failed, for lack of descriptors for example.
        accept_errors: Counter = "accept_errors_total",
        /// Requests answered, by status.
        requests: ByStatus = "requests_total",
        /// Times a sender was told 100 Continue.
        continues: Counter = "continues_total",
        /// Connections ended or requests refused because a deadline passed.
        deadlines_expired: Counter = "deadlines_expired_total",
        /// Bytes read from connections.
        bytes_read: Counter = "read_bytes_total",
        /// Bytes written to connections.
        bytes_written: Counter = "written_bytes_total",
        /// Events handed to the event queues.
        events: Counter = "events_total",
        /// Requests refused because an event queue stayed full.
        queue_full: Counter = "queue_full_total",
        /// Requests that had to wait for room in an event queue.
        queue_waits: Counter = "queue_waits_total",
        /// Requests refused because the byte budget had no room for the body.
        over_budget: Counter = "over_budget_total",
        /// Time taken by the JSON verdict on a body, the pieces of one that arrived in parts together.
        parse_time: Histogram = "parse_seconds",
        /// Bytes mapped now for buffers of up to 32 KiB, in use or kept.
        pool_bytes: Gauge = "pool_bytes",
        /// Bytes leased from the budget now.
        budget_leased_bytes: Gauge = "budget_leased_bytes",
    }
}

block! {
    /// What one trigger worker counts; only that worker writes it.
    WorkerMetrics {
        /// Events taken from the event queues.
        events: Counter = "events_total",
        /// Batches in which they were taken.
        batches: Counter = "batches_total",
        /// Times the worker found its queues empty and slept.
        sleeps: Counter = "sleeps_total",
        /// Nodes that failed.
        node_failures: Counter = "node_failures_total",
        /// Events that a discard node took.
        discarded: Counter = "discarded_total",
        /// Events in whose body a read node found its field.
        #[cfg(inrush_bench)]
        fields_found: Counter = "fields_found_total",
        /// Events in whose body a read node did not find its field.
        #[cfg(inrush_bench)]
        fields_missed: Counter = "fields_missed_total",
        /// Events waiting in the worker's event queues, as of its last look.
        queue_depth: Gauge = "queue_depth",
        /// Time from handing over an event to taking it, sampled once per batch.
        queue_wait: Histogram = "queue_wait_seconds",
        /// Time taken by a node to run.
        node_time: Histogram = "node_seconds",
    }
}

impl CoreMetrics {
    /// Counts a request answered with this status. A 100 is counted apart, for the same request still gets its
    /// answer.
    #[inline]
    pub fn answered(&self, status: u16) {
        match status {
            100 => self.continues.add(1),
            status => self.requests.count(status),
        }
    }
}

/// All that is counted. Made once at start and shared: each core and worker holds on to the `Arc` and to the
/// index of its own block.
#[derive(Debug)]
pub struct Metrics {
    /// One block per core.
    pub cores: Vec<CoreMetrics>,
    /// One block per trigger worker.
    pub workers: Vec<WorkerMetrics>,
    /// The byte budget of bodies in flight, all cores together, as it is in force.
    pub budget_bytes: Gauge,
    /// Times another config was put in force.
    pub config_reloads: Counter,
    /// Times the config had changed and was refused.
    pub config_refusals: Counter,
    triggers: Mutex<Vec<Arc<TriggerMetrics>>>,
}

impl Metrics {
    /// All numbers at zero.
    pub fn new(cores: usize, workers: usize) -> Self {
        Self {
            cores: std::iter::repeat_with(CoreMetrics::default).take(cores).collect(),
            workers: std::iter::repeat_with(WorkerMetrics::default).take(workers).collect(),
            budget_bytes: Gauge::default(),
            config_reloads: Counter::default(),
            config_refusals: Counter::default(),
            triggers: Mutex::default(),
        }
    }

    /// Replaces the triggers that are installed.
    pub fn set_triggers(&self, triggers: Vec<Arc<TriggerMetrics>>) {
        *self.triggers.lock().unwrap_or_else(PoisonError::into_inner) = triggers;
    }

    /// The numbers of every trigger that is installed.
    pub fn trigger_counts(&self) -> Vec<TriggerCounts> {
        let triggers = self.triggers.lock().unwrap_or_else(PoisonError::into_inner);
        triggers.iter().map(|trigger| trigger.counts()).collect()
    }

    /// Bytes of the budget that cores have leased, together.
    pub fn budget_used_bytes(&self) -> u64 {
        self.cores.iter().map(|core| core.budget_leased_bytes.get()).sum()
    }

    /// Appends everything in the text format of Prometheus, version 0.0.4.
    pub fn render_prometheus(&self, out: &mut String) {
        prometheus::single(out, "build_info", "The version that runs.", VERSION_LABEL, 1);
        let budget = self.budget_bytes.get();
        prometheus::single(out, "budget_bytes", "Bytes that bodies in flight may use.", "", budget);
        let (reloads, refusals) = (self.config_reloads.get(), self.config_refusals.get());
        prometheus::total(out, "config_reloads", "Times another config was put in force.", reloads);
        prometheus::total(out, "config_refusals", "Times a changed config was refused.", refusals);
        prometheus::blocks(out, CORES, &self.cores);
        prometheus::blocks(out, WORKERS, &self.workers);
        triggers::render(out, &self.trigger_counts());
    }
}

/// Nanoseconds on one clock that all threads share and that never goes back, for times that begin on one thread
/// and end on another. It starts at its first reading; 64 bits of it last for centuries.
#[inline]
pub fn clock_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// How the numbers of cores are named.
const CORES: prometheus::Naming = prometheus::Naming { label: "core", each: "", all: "all_cores_" };
/// How the numbers of workers are named.
const WORKERS: prometheus::Naming =
    prometheus::Naming { label: "worker", each: "worker_", all: "all_workers_" };
/// The label of `inrush_build_info`.
const VERSION_LABEL: &str = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");

#[cfg(test)]
mod tests;
