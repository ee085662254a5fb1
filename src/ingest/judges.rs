//! Judging large bodies off the core: a small pool of blocking threads.
//!
//! A body over 64 KiB takes longer to parse than a core may be away from its neighbours (100 MB inline put their p99
//! at 220 ms). Its slot moves to a judge and back by handle; the core is rung when the verdict is in.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::event::Slot;
use crate::http::{Reject, reject};
use crate::json::InvalidKind;
use crate::json::tape::Parser;
use crate::queue::HomeBell;

use crate::buffer::Budget;
use crate::json;
use crate::json::structurals;
use crate::json::tape;

/// A body to judge, and where the verdict goes.
pub(super) struct Case {
    pub slot: Box<Slot>,
    /// Which connection of the core waits.
    pub connection: usize,
    pub bench: Arc<Bench>,
}

/// A body that was judged.
pub(super) struct Judged {
    pub slot: Box<Slot>,
    pub connection: usize,
    pub verdict: Result<(), Reject>,
    pub took_ns: u64,
}

/// Where the verdicts for one core wait.
pub(super) struct Bench {
    judged: Mutex<Vec<Judged>>,
    bell: Arc<HomeBell>,
}

impl Bench {
    pub fn new(bell: Arc<HomeBell>) -> Self {
        Self { judged: Mutex::new(Vec::new()), bell }
    }

    /// The verdicts that came in.
    pub fn take(&self) -> Vec<Judged> {
        std::mem::take(&mut *locked(&self.judged))
    }
}

#[derive(Default)]
struct Docket {
    cases: Mutex<(VecDeque<Case>, bool)>,
    more: Condvar,
}

/// The pool of judges. Dropping it lets them finish what was submitted and ends them.
pub struct Judges {
    docket: Arc<Docket>,
    threads: Vec<JoinHandle<()>>,
}

impl Judges {
    /// Starts `threads` judges.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(threads: usize, budget: &Arc<Budget>) -> std::io::Result<Self> {
        let docket = Arc::new(Docket::default());
        let threads = (0..threads)
            .map(|index| {
                let (docket, budget) = (docket.clone(), budget.clone());
                std::thread::Builder::new()
                    .name(format!("inrush-judge-{index}"))
                    .spawn(move || judge_all(&docket, &budget))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { docket, threads })
    }

    /// The way in for cores.
    pub(super) fn submit(&self, case: Case) {
        locked(&self.docket.cases).0.push_back(case);
        self.docket.more.notify_one();
    }
}

impl Drop for Judges {
    fn drop(&mut self) {
        locked(&self.docket.cases).1 = true;
        self.docket.more.notify_all();
        for thread in self.threads.drain(..) {
            // A judge that panicked has said so on stderr, and its case is lost with it.
            let _ = thread.join();
        }
    }
}

/// Judges the body of `slot`. `charge` takes the memory that a parse may need from the budget and says whether there
/// was room; without it the body is judged by the validator that needs none.
#[inline]
pub(super) fn judge(
    slot: &mut Slot,
    parser: &mut Parser,
    charge: impl FnOnce(usize) -> bool,
) -> Result<(), Reject> {
    let body = slot.body.clone();
    // An absent or empty body is `{}`.
    let Some(buf) = slot.buf.as_mut().filter(|_| !body.is_empty()) else { return Ok(()) };
    let text = &mut buf.whole_mut()[body.start..];
    let len = body.len();
    let scan = structurals::scan(&text[..len]);
    let judged = if charge(tape::memory_charge(len, scan)) {
        parser.judge(text, len, scan).map(|_| ())
    } else {
        json::naive::validate(&text[..len]).map(|_| ())
    };
    judged.map_err(|invalid| {
        let problem = match invalid.kind {
            InvalidKind::TooDeep => &reject::JSON_TOO_DEEP,
            _ => &reject::INVALID_JSON,
        };
        Reject::from(problem).at(invalid.offset as u64)
    })
}

fn judge_all(docket: &Docket, budget: &Budget) {
    let mut parser = Parser::new();
    while let Some(Case { mut slot, connection, bench }) = next_case(docket) {
        let start = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| {
            let mut charge = None;
            judge(&mut slot, &mut parser, |bytes| {
                charge = budget.charge(bytes as u64).ok();
                charge.is_some()
            })
        }));
        let verdict = verdict.unwrap_or_else(|_| {
            // A bug of ours, which the panic hook has reported: the sender is told, and the judge goes on.
            parser = Parser::new();
            Err((&reject::INTERNAL).into())
        });
        let took_ns = start.elapsed().as_nanos() as u64;
        locked(&bench.judged).push(Judged { slot, connection, verdict, took_ns });
        bench.bell.ring();
    }
}

fn next_case(docket: &Docket) -> Option<Case> {
    let mut cases = locked(&docket.cases);
    loop {
        if let Some(case) = cases.0.pop_front() {
            return Some(case);
        }
        if cases.1 {
            return None;
        }
        cases = docket.more.wait(cases).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole even if a holder panicked.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
