//! tmp
#![allow(missing_docs)]
use std::path::PathBuf; use std::net::SocketAddr; use uuid::Uuid;
pub struct Config { pub server: Server, pub webhooks: Vec<Webhook> }
pub struct Server { pub listen: SocketAddr, pub admin_listen: SocketAddr, pub data_dir: PathBuf }
pub struct Secret(pub String); impl Secret { pub fn expose(&self) -> &str { &self.0 } }
pub struct Webhook { pub name: String, pub id: Uuid, pub secrets: Vec<Secret>, pub allowed_origins: Vec<String>, pub body_bytes_max: Option<u64>, pub keep_headers: Vec<String>, pub triggers: Vec<Trigger> }
pub struct Trigger { pub id: String, pub nodes: Vec<Node> }
pub enum Node { Log, File { path: PathBuf }, Discard }
