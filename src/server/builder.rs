//! What to serve: a config, and triggers of the program that the server is a part of.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use uuid::Uuid;

use super::orders::Orders;
use super::{Plan, ReadConfig, ServeError, Server, Started, life};
use crate::config::{self, Config, Overrides};
use crate::event::{Event, Reads};
use crate::limits::Limits;
use crate::node::{BoxError, Native, Node};
use crate::trigger::Trigger;

/// What a [`Server`](super::Server) is made of: see there for an example.
///
/// Begin with nothing and name webhooks and triggers, or with [`Builder::config`], which understands everything that
/// `inrush.toml` does; both go together. Nothing is checked or opened before [`Builder::start`] or [`Builder::run`]: a
/// trigger of an unknown webhook, or an id that two triggers have, is an error of these.
pub struct Builder {
    config: Config,
    limits: Option<Limits>,
    natives: Vec<NativeTrigger>,
    read: Option<Box<ReadConfig>>,
}

/// A trigger of the program that the server is a part of.
#[derive(Clone)]
pub(super) struct NativeTrigger {
    pub webhook: String,
    pub id: String,
    pub node: Native,
}

/// A function as a node.
struct Function<F>(Arc<F>, Reads);

impl<F> Node for Function<F>
where
    F: Fn(&Event<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn run(&mut self, event: &Event<'_>) -> Result<(), BoxError> {
        (self.0)(event)
    }

    fn reads(&self) -> Reads {
        self.1
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { config: Config::empty(), limits: None, natives: Vec::new(), read: None }
    }
}

impl Builder {
    /// Serves what a config says. Replaces everything said before but for triggers of your own.
    ///
    /// ```
    /// use inrush::config::{Config, Overrides};
    ///
    /// let text = r#"
    ///     [[webhook]]
    ///     name = "orders"
    ///     id = "0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10"
    ///
    ///     [[webhook.trigger]]
    ///     id = "archive"
    ///     nodes = [{ type = "file", path = "orders.ndjson" }]
    /// "#;
    /// let environment = |name: &str| std::env::var(name).ok(); // for ${NAME} in the text
    /// let config = Config::parse("inrush.toml".as_ref(), text, &Overrides::default(), &environment)?;
    /// let builder = inrush::Server::builder()
    ///     .config(config)
    ///     .on_event("orders", "count", |_event| Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Limits other than those that the config gives.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// How to read the config anew, when one of [`Config::files`] has changed and on SIGHUP under [`Builder::run`]. What it
    /// gives is put in force without closing a connection, but for what needs a restart; an error leaves everything as it
    /// was. Both are logged. Triggers of your own stay. It is called on the control thread, which serves health and metrics
    /// as well, so it should not take long.
    pub fn reload_with(mut self, read: impl FnMut() -> Result<Config, String> + Send + 'static) -> Self {
        self.read = Some(Box::new(read));
        self
    }

    /// Where webhooks are posted to; `127.0.0.1:8080` unless said.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.server.listen = address;
        self
    }

    /// Where health and metrics are served; `127.0.0.1:8081` unless said.
    pub fn admin_listen(mut self, address: SocketAddr) -> Self {
        self.config.server.admin_listen = address;
        self
    }

    /// What is kept on disk; `inrush-data` in the working directory unless said.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.server.data_dir = path.into();
        self
    }

    /// Installs a webhook that is open to everyone but browsers; the id is the path of its URL. Whoever knows it can post:
    /// take a random one, and [`Builder::install`] for a secret.
    pub fn webhook(self, name: &str, id: Uuid) -> Self {
        self.install(config::Webhook { name: name.to_owned(), id, ..config::Webhook::default() })
    }

    /// Installs a webhook with everything that one may have.
    pub fn install(mut self, webhook: config::Webhook) -> Self {
        self.config.webhooks.push(webhook);
        self
    }

    /// Runs a function for each event of the webhook with this name, as the only node of a trigger with this id.
    ///
    /// Every worker calls it on its own thread, as [`Node`] says: it must not wait. It sees the exact bytes of the body,
    /// [`Event::body`]; for one that wants the value, too, see [`Builder::node`]. An error is logged and counted, and stops
    /// nothing. It costs a call through a pointer, and no parsing.
    ///
    /// ```
    /// let id = "0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10".parse()?;
    /// let builder = inrush::Server::builder().webhook("orders", id).on_event("orders", "tell", |event| {
    ///     println!("{} has {} bytes", event.id(), event.body().len());
    ///     Ok(())
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_event(
        self,
        webhook: &str,
        id: &str,
        run: impl Fn(&Event<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        let run = Arc::new(run);
        self.node(webhook, id, move || Function(run.clone(), Reads { value_up_to: 0, text: true }))
    }

    /// Runs a function that may wait, on threads of their own, at most `in_flight` at once.
    ///
    /// It costs a switch of threads per event, some microseconds. Events start in order and may end in another. What waits
    /// for it holds up nobody else; when too many events wait, posts to the webhook wait for a second and are then answered 503.
    /// Bodies up to 1 MiB come with their value. Each worker has threads of its own for it, up to 512, made when they are
    /// needed, on which files are written, too: stay well below that. `in_flight` counts on each worker, and 0 is taken for 1.
    ///
    /// The payload is kept, and its memory charged to the byte budget, until the function returns. [`Server::stop`] waits for
    /// those that run, within the limits for draining; one that never returns is left behind, and told as cut off.
    ///
    /// ```
    /// let id = "0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10".parse()?;
    /// let builder = inrush::Server::builder().webhook("orders", id).on_event_blocking("orders", "keep", 4, |event| {
    ///     Ok(std::fs::write(format!("{}.json", event.id()), event.body())?)
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_event_blocking(
        self,
        webhook: &str,
        id: &str,
        in_flight: usize,
        run: impl Fn(&Event<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.native(webhook, id, Native::Blocking(Arc::new(run), in_flight.max(1)))
    }

    /// Runs a node of your own for each event of the webhook with this name, in a trigger with this id. `make` is called
    /// once for each worker, so state needs no lock. A
    /// reload of the config makes new ones only where it renames the webhook, or installs it again.
    ///
    /// ```
    /// use inrush::{BoxError, Event, Node, Server};
    ///
    /// #[derive(Default)]
    /// struct Longest(usize);
    ///
    /// impl Node for Longest {
    ///     fn run(&mut self, event: &Event<'_>) -> Result<(), BoxError> {
    ///         self.0 = self.0.max(event.body_bytes());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let id = "0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10".parse()?;
    /// let builder = Server::builder().webhook("orders", id).node("orders", "longest", Longest::default);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn node<N: Node>(
        self,
        webhook: &str,
        id: &str,
        make: impl Fn() -> N + Send + Sync + 'static,
    ) -> Self {
        self.native(webhook, id, Native::PerWorker(Arc::new(move || Box::new(make()))))
    }

    fn native(mut self, webhook: &str, id: &str, node: Native) -> Self {
        self.natives.push(NativeTrigger { webhook: webhook.to_owned(), id: id.to_owned(), node });
        self
    }

    /// Starts the server on threads of its own; returns when every core accepts.
    ///
    /// # Errors
    /// When the config contradicts itself, or something needed cannot be had.
    pub fn start(self) -> Result<Server, ServeError> {
        let plan = self.plan()?;
        let config = plan.config.clone();
        let (command, orders) = Orders::new();
        let (say, said) = mpsc::channel();
        let control = move || {
            let started = |started: &Started| {
                // The builder waits for it, or for the end of this thread.
                let _ = say.send(*started);
            };
            on_a_runtime(life::serve(plan, started, orders))
        };
        let thread = std::thread::Builder::new().name("inrush-control".into()).spawn(control);
        let thread = thread.map_err(|error| ServeError::io("cannot start the control thread", error))?;
        match said.recv() {
            Ok(started) => Ok(Server { started, config, command: Some(command), thread: Some(thread) }),
            Err(mpsc::RecvError) => match thread.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(ServeError::Died { what: "the control thread ended by itself".into() }),
            },
        }
    }

    /// Runs the server on this thread until SIGTERM or SIGINT, and everything that was accepted until then to its end.
    /// `started` is called once, when every core accepts.
    ///
    /// # Errors
    /// As [`Builder::start`]; and when a thread died, or something was cut off at the end.
    pub fn run(self, started: impl FnOnce(&Started)) -> Result<(), ServeError> {
        let plan = self.plan()?;
        on_a_runtime(async { life::serve(plan, started, Orders::of_signals()?).await })
    }

    fn plan(self) -> Result<Plan, ServeError> {
        let Self { config, limits, natives, read } = self;
        check(&config)?;
        for native in &natives {
            let failed = |reason: &str| ServeError::Node {
                webhook: native.webhook.clone(),
                trigger: native.id.clone(),
                reason: reason.to_owned(),
            };
            let Some(webhook) = config.webhook(&native.webhook) else {
                return Err(failed("no webhook with this name is installed"));
            };
            let same =
                natives.iter().filter(|other| (&other.webhook, &other.id) == (&native.webhook, &native.id));
            if same.count() > 1 || webhook.triggers.iter().any(|trigger| trigger.id == native.id) {
                return Err(failed("two triggers have this id; rename one"));
            }
        }
        let limits = match limits {
            Some(limits) => limits,
            None => {
                Limits::derive(&config).map_err(|error| ServeError::Config { reason: error.to_string() })?
            }
        };
        let never = || Err("this server was given no way to read its config anew".to_owned());
        Ok(Plan { config, limits, natives, read: read.unwrap_or_else(|| Box::new(never)) })
    }
}

impl Config {
    /// The config of an empty file in the working directory.
    fn empty() -> Self {
        let nothing = |_: &str| None;
        Self::parse(Path::new(config::DEFAULT_PATH), "", &Overrides::default(), &nothing)
            .unwrap_or_else(|error| unreachable!("an empty config is right: {error}"))
    }
}

/// Looks for every mistake of a config that reading it could not find: in its expressions and templates, in where events
/// go, in what commands need.
///
/// # Errors
/// All of them, each with its place.
pub fn check(config: &Config) -> Result<(), ServeError> {
    let triggers = config.webhooks.iter().flat_map(|webhook| &webhook.triggers);
    let problems: Vec<_> = triggers.flat_map(Trigger::check).collect();
    if problems.is_empty() { Ok(()) } else { Err(ServeError::config(config, problems)) }
}

fn on_a_runtime(life: impl Future<Output = Result<(), ServeError>>) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServeError::io("cannot start the control thread", error))?;
    let ended = runtime.block_on(life);
    // A thread that is stuck in a write has had its time.
    runtime.shutdown_background();
    ended
}
