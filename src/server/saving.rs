//! Saves what webhooks keep in variables: every second, and at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::expr::Variables;

/// What a crash may cost: changes of the last second or so.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// A disk that stays full is reported this often.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Variables, each with the name of its webhook.
pub(super) type Named = Vec<(String, Arc<Variables>)>;

/// Saves on a thread that may wait, one time after the other.
#[derive(Default)]
pub(super) struct Saver {
    running: Option<JoinHandle<Result<(), String>>>,
    reported: Option<std::time::Instant>,
}

impl Saver {
    /// Saves what has changed, unless the last time is not over yet. Then it is due the next time.
    pub async fn save(&mut self, variables: impl FnOnce() -> Named) {
        match &mut self.running {
            Some(running) if !running.is_finished() => return,
            Some(running) => {
                let saved = running.await;
                self.report(saved.unwrap_or_else(|_| Err("saving variables panicked".to_owned())));
            }
            None => {}
        }
        let variables = variables();
        self.running = Some(tokio::task::spawn_blocking(move || save_all(&variables)));
    }

    /// Saves for the last time.
    ///
    /// # Errors
    /// What could not be saved.
    pub async fn finish(self, variables: Named) -> Result<(), String> {
        if let Some(running) = self.running {
            // What failed then is tried again now.
            let _ = running.await;
        }
        let saved = tokio::task::spawn_blocking(move || save_all(&variables)).await;
        saved.unwrap_or_else(|_| Err("saving variables panicked".to_owned()))
    }

    fn report(&mut self, saved: Result<(), String>) {
        let Err(error) = saved else { return };
        if self.reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            self.reported = Some(std::time::Instant::now());
            tracing::error!("{error}; it is tried again every second, and a crash would lose the changes");
        }
    }
}

/// Saves each of them; the first error is told, the others are tried all the same.
fn save_all(variables: &Named) -> Result<(), String> {
    let mut result = Ok(());
    for (webhook, variables) in variables {
        if let Err(error) = variables.save_if_changed() {
            result =
                result.and(Err(format!("the variables of webhook `{webhook}` cannot be saved: {error}")));
        }
    }
    result
}
