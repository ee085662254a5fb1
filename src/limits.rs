//! The limits in force: what the operator wrote, defaults filled in, the relations between them checked. Every bound
//! of the server is one of these; each name carries its unit; the table is printed at start.

use std::fmt;
use std::thread;

use crate::config::limit_table::limit_table;
use crate::config::{Config, ConfigError, Place, Problem, Webhook, Written};

/// What a core takes from the global byte budget at a time.
pub const BUDGET_LEASE_BYTES: u64 = 4 << 20;

/// Descriptors that are no connections: listeners, rings, event queues' wake-ups, files of nodes, the admin side.
const DESCRIPTORS_OF_OUR_OWN: usize = 128;

macro_rules! limits {
    ($($name:ident: $type:ty = $default:literal, $min:literal..=$max:literal, $about:literal;)*) => {
        /// The effective limits.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            /// Core threads: one for each CPU that the process may use, unless told otherwise.
            pub cores: usize,
            /// Trigger workers.
            pub workers: usize,
            $(#[doc = $about] pub $name: $type,)*
            /// The longest body that any webhook accepts.
            pub body_bytes_max_of_all: u64,
        }

        impl Default for Limits {
            /// One core, one worker, and every other limit at its default.
            fn default() -> Self {
                let mut limits = Self { cores: 1, workers: 1, $($name: $default,)* body_bytes_max_of_all: 0 };
                limits.body_bytes_max_of_all = limits.body_bytes_max;
                limits
            }
        }

        impl Limits {
            fn fill_in(config: &Config, cores: usize, workers: usize) -> Self {
                let value = |written: Option<Written<u64>>, default: u64| written.map_or(default, |it| it.value);
                let mut limits = Self {
                    cores,
                    workers,
                    $($name: <$type>::try_from(value(config.limits.$name, $default)).unwrap_or(<$type>::MAX),)*
                    body_bytes_max_of_all: 0,
                };
                let own = config.webhooks.iter().filter_map(|webhook| webhook.body_bytes_max).max();
                limits.body_bytes_max_of_all = own.unwrap_or(0).max(limits.body_bytes_max);
                limits
            }

            /// Name and value of each, in the order of the table.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![
                    ("cores", self.cores as u64),
                    ("workers", self.workers as u64),
                    $((stringify!($name), self.$name as u64),)*
                ]
            }
        }
    };
}
limit_table!(limits);

impl Limits {
    /// The effective limits of a config.
    ///
    /// Cores: one for each CPU of the affinity mask, fewer when a control group grants less time than that. Workers:
    /// one for two cores, at least one: the nodes of this server append lines and count, which costs a fraction of
    /// receiving and judging the event, and a worker more is a thread more that a core has to share its CPU with.
    pub fn derive(config: &Config) -> Result<Self, ConfigError> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self::derive_for(config, cpus)
    }

    /// The same for a machine with that many CPUs.
    pub fn derive_for(config: &Config, cpus: usize) -> Result<Self, ConfigError> {
        let cores = config.server.cores.unwrap_or(cpus).max(1);
        let workers = config.server.workers.unwrap_or((cores / 2).max(1)).max(1);
        let limits = Self::fill_in(config, cores, workers);
        let problems = limits.contradictions(config);
        if problems.is_empty() { Ok(limits) } else { Err(ConfigError::new(&config.path, problems)) }
    }

    /// The relations that other code relies on, each with the reason and the way out.
    fn contradictions(&self, config: &Config) -> Vec<Problem> {
        let written = &config.limits;
        let place = |of: &[Option<Written<u64>>]| {
            of.iter().flatten().next().map_or_else(Place::default, |written| written.place)
        };
        let mut problems = Vec::new();

        let room = self.budget_for_any_body();
        if self.body_bytes_max > room {
            problems.push(Problem::at(
                place(&[written.body_bytes_max, written.budget_bytes]),
                self.too_long_for_the_budget(self.body_bytes_max),
            ));
        }
        for webhook in &config.webhooks {
            if let Some(own) = webhook.body_bytes_max.filter(|&own| own > room) {
                problems.push(Problem::at(webhook.place, self.too_long_for_the_budget(own)));
            }
        }
        if self.body_rate_grace_ms > self.body_read_timeout_ms {
            problems.push(Problem::at(
                place(&[written.body_rate_grace_ms, written.body_read_timeout_ms]),
                format!(
                    "body_rate_grace_ms ({}) is longer than body_read_timeout_ms ({}), so the rate would never be \
                     looked at; shorten the grace, or set body_rate_min_bytes_per_s = 0 and the grace to 0",
                    self.body_rate_grace_ms, self.body_read_timeout_ms
                ),
            ));
        }
        if self.queue_wait_ms > self.drain_timeout_ms {
            problems.push(Problem::at(
                place(&[written.queue_wait_ms, written.drain_timeout_ms]),
                format!(
                    "queue_wait_ms ({}) is longer than drain_timeout_ms ({}), so a request that waits for room could \
                     not be answered before a shutdown ends; make it shorter",
                    self.queue_wait_ms, self.drain_timeout_ms
                ),
            ));
        }
        problems
    }

    fn too_long_for_the_budget(&self, body_bytes_max: u64) -> String {
        let needed = (body_bytes_max + self.cores as u64 * BUDGET_LEASE_BYTES).div_ceil(3) * 4;
        format!(
            "body_bytes_max ({body_bytes_max}) could never be admitted: budget_bytes ({}) less the quarter kept for \
             small bodies and {} bytes leased by each of {} cores leaves {}; lower it, or set budget_bytes to at \
             least {needed}",
            self.budget_bytes,
            BUDGET_LEASE_BYTES,
            self.cores,
            self.budget_for_any_body(),
        )
    }

    /// What a body of any size may hope for: a quarter of the budget is kept for bodies up to 64 KiB, and every core
    /// may sit on a lease.
    pub fn budget_for_any_body(&self) -> u64 {
        (self.budget_bytes / 4 * 3).saturating_sub(self.cores as u64 * BUDGET_LEASE_BYTES)
    }

    /// The longest body that this webhook accepts.
    pub fn body_bytes_max_of(&self, webhook: &Webhook) -> u64 {
        webhook.body_bytes_max.unwrap_or(self.body_bytes_max)
    }

    /// Descriptors that the process needs when every core is full.
    pub fn descriptors_max(&self) -> usize {
        self.cores * self.connections_max + DESCRIPTORS_OF_OUR_OWN + 8 * (self.cores + self.workers)
    }
}

/// One `name value` a line, large values also in words.
impl fmt::Display for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in rows {
            write!(out, "  {name:width$}  {value:>12}")?;
            match in_words(name, value) {
                Some(words) => writeln!(out, "  {words}")?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}

fn in_words(name: &str, value: u64) -> Option<String> {
    if name.ends_with("_ms") && value >= 1000 && value.is_multiple_of(100) {
        return Some(format!("{} s", value as f64 / 1000.0));
    }
    if name.contains("bytes") && !name.ends_with("_per_s") {
        let (unit, size) = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, size)| value >= *size && value.is_multiple_of(*size))?;
        return Some(format!("{} {unit}", value / size));
    }
    None
}

/// The CPUs that the process may run on, as the kernel lists them: what core threads are pinned to.
pub fn allowed_cpus() -> std::io::Result<Vec<usize>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .and_then(parse_cpu_list)
        .ok_or_else(|| std::io::Error::other("/proc/self/status has no Cpus_allowed_list"))
}

/// `0-2,5` is CPUs 0, 1, 2 and 5 (cpuset(7), "List format").
fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;
    use std::path::Path;

    fn derive(text: &str, cpus: usize) -> Result<Limits, String> {
        let config = Config::parse(Path::new("inrush.toml"), text, &Overrides::default(), &|_| None)
            .map_err(|error| error.to_string())?;
        Limits::derive_for(&config, cpus).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_hold_on_any_machine() {
        for (cpus, workers) in [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8), (64, 32)] {
            let limits = derive("", cpus).unwrap();
            assert_eq!((limits.cores, limits.workers), (cpus, workers));
        }
        let limits = derive("", 2).unwrap();
        assert_eq!(limits.body_bytes_max, 104_857_600);
        assert_eq!(limits.body_bytes_max_of_all, 104_857_600);
        assert_eq!(limits.connections_max, 16_384);
    }

    #[test]
    fn contradictions_are_refused_where_they_were_written() {
        for (text, expected) in [
            ("[limits]\nbudget_bytes = 16777216\n", Err("inrush.toml:2:16: body_bytes_max (104857600)")),
            ("[limits]\nbudget_bytes = 16777216\nbody_bytes_max = 4194304\n", Ok(())),
            ("[limits]\nbudget_bytes = 16777216\nbody_bytes_max = 4194305\n", Err("inrush.toml:3:18: ")),
            ("[limits]\nbody_read_timeout_ms = 9000\n", Err("inrush.toml:2:24: body_rate_grace_ms (10000)")),
            ("[limits]\ndrain_timeout_ms = 500\n", Err("inrush.toml:2:20: queue_wait_ms (1000)")),
            (
                "[limits]\nbody_bytes_max = 0\n",
                Err("inrush.toml:2:18: `body_bytes_max` is 0; it has to lie between 1"),
            ),
            (
                "[[webhook]]\nname = 'a'\nid = '9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80'\nbody_bytes_max = 4000000000\n",
                Err("inrush.toml:1:1: body_bytes_max (4000000000)"),
            ),
        ] {
            match (derive(text, 2), expected) {
                (Ok(_), Ok(())) => {}
                (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_remedy_for_a_small_budget_works() {
        let error = derive("[limits]\nbudget_bytes = 16777216\n", 2).unwrap_err();
        let needed = error.rsplit("at least ").next().unwrap();
        derive(&format!("[limits]\nbudget_bytes = {needed}\n"), 2).unwrap();
    }

    #[test]
    fn a_webhook_may_accept_more_than_the_others() {
        let limits = derive(
            "[limits]\nbody_bytes_max = 1000\n[[webhook]]\nname = 'a'\n\
             id = '9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80'\nbody_bytes_max = 5000\n",
            2,
        )
        .unwrap();
        assert_eq!((limits.body_bytes_max, limits.body_bytes_max_of_all), (1000, 5000));
        let webhook = Webhook { body_bytes_max: Some(5000), ..Webhook::default() };
        assert_eq!(limits.body_bytes_max_of(&webhook), 5000);
        assert_eq!(limits.body_bytes_max_of(&Webhook::default()), 1000);
    }

    #[test]
    fn the_table_shows_every_limit() {
        let shown = derive("", 2).unwrap().to_string();
        for row in crate::config::limit_table::LIMITS {
            assert!(shown.contains(row.name), "{}", row.name);
        }
        assert!(shown.contains("104857600  100 MiB"), "{shown}");
        assert!(shown.contains("1073741824  1 GiB"), "{shown}");
        assert!(shown.contains("10000  10 s"), "{shown}");
    }

    #[test]
    fn cpu_lists() {
        for (list, expected) in [
            ("0", Some(vec![0])),
            ("\t0-2,5\n", Some(vec![0, 1, 2, 5])),
            ("3,1", Some(vec![3, 1])),
            ("", None),
            ("2-1", None),
            ("a", None),
        ] {
            assert_eq!(parse_cpu_list(list), expected, "{list:?}");
        }
        assert!(!allowed_cpus().unwrap().is_empty());
    }
}
