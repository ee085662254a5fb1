//! Every limit of inrush: its name with the unit, default, range, meaning. One table; the raw limits, the effective
//! ones, the config template and the printed table are all made from it, so that they cannot drift apart.

use super::source::Written;

/// Hands the table to the macro `$then`.
macro_rules! limit_table {
    ($then:ident) => {
        $then! {
            connections_max: usize = 16_384, 1..=1_000_000,
                "Connections open at once, on each core.";
            head_read_timeout_ms: u64 = 10_000, 100..=3_600_000,
                "A head has to be complete this long after its first byte.";
            body_rate_min_bytes_per_s: u64 = 1_000, 0..=1_000_000_000,
                "A body has to arrive at least this fast on average, once the grace is over; 0: no matter.";
            body_rate_grace_ms: u64 = 10_000, 0..=3_600_000,
                "How long a body may be slower than that.";
            body_read_timeout_ms: u64 = 300_000, 100..=86_400_000,
                "A body has to be complete this long after its head.";
            idle_timeout_ms: u64 = 60_000, 100..=86_400_000,
                "A keep-alive connection without a request is closed after this long.";
            write_timeout_ms: u64 = 30_000, 100..=3_600_000,
                "An answer that is not taken within this time ends its connection.";
            linger_timeout_ms: u64 = 10_000, 0..=600_000,
                "After a refusal, how long the rest of the request is read away so that the answer can be read.";
            linger_bytes_max: u64 = 104_857_600, 0..=1_099_511_627_776,
                "After a refusal, how much of the rest is read away.";
            body_bytes_max: u64 = 104_857_600, 1..=4_294_967_295,
                "The longest body; a webhook may set its own.";
            budget_bytes: u64 = 1_073_741_824, 16_777_216..=17_592_186_044_416,
                "Memory for all bodies in flight and what is parsed from them, all cores together.";
            queue_events_max: usize = 4_096, 1..=1_048_576,
                "Events that wait between one core and one worker.";
            queue_wait_ms: u64 = 1_000, 0..=600_000,
                "How long a request waits for room in a full queue, or for a trigger that is behind, before it is answered 503.";
            trigger_events_max: usize = 4_096, 1..=65_536,
                "Events that wait for one trigger on one worker before posts to its webhook have to wait.";
            drain_delay_ms: u64 = 0, 0..=3_600_000,
                "After SIGTERM, how long readiness fails before the listener closes.";
            drain_timeout_ms: u64 = 30_000, 100..=3_600_000,
                "After SIGTERM, how long running requests and queued events may take.";
        }
    };
}
pub(crate) use limit_table;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct LimitRow {
    /// Its key under `[limits]`.
    pub name: &'static str,
    /// In force when nothing is written.
    pub default: u64,
    /// The smallest value accepted.
    pub min: u64,
    /// The largest value accepted.
    pub max: u64,
    /// What it bounds.
    pub about: &'static str,
}

impl LimitRow {
    /// The unit that its name ends in, in words.
    pub fn unit(&self) -> &'static str {
        match self.name {
            name if name.ends_with("_bytes_per_s") => "bytes per second",
            name if name.ends_with("_ms") => "milliseconds",
            name if name.contains("bytes") => "bytes",
            name if name.starts_with("connections") => "connections",
            _ => "events",
        }
    }
}

macro_rules! raw_limits {
    ($($name:ident: $type:ty = $default:literal, $min:literal..=$max:literal, $about:literal;)*) => {
        /// `[limits]` as written: `None` where the file is silent.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct RawLimits {
            $(#[doc = $about] pub $name: Option<Written<u64>>,)*
        }

        impl RawLimits {
            /// The row of the table and the place for its value, one after the other.
            pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = (LimitRow, &mut Option<Written<u64>>)> {
                LIMITS.iter().copied().zip([$(&mut self.$name,)*])
            }
        }

        /// The whole table.
        pub const LIMITS: &[LimitRow] = &[
            $(LimitRow { name: stringify!($name), default: $default, min: $min, max: $max, about: $about },)*
        ];
    };
}
limit_table!(raw_limits);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_range() {
        for row in LIMITS {
            assert!((row.min..=row.max).contains(&row.default), "{}", row.name);
            assert!(row.about.ends_with('.'), "{}", row.name);
        }
    }
}
