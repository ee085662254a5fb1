//! The installed webhooks as admission needs them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use uuid::Uuid;

use crate::event::Gate;
use crate::http::cors::AllowedOrigins;
use crate::verify::Secrets;

/// One installed webhook.
pub struct Webhook {
    /// The path of its URL.
    pub id: Uuid,
    /// Who may send.
    pub secrets: Secrets,
    /// Which browsers may.
    pub origins: AllowedOrigins,
    /// The largest body accepted.
    pub body_bytes_max: u64,
    /// Whether a node of it reads the body as a value.
    pub reads_body: bool,
    /// The worker that runs its triggers.
    pub worker: usize,
    /// Closed while a trigger is behind.
    pub gate: Arc<Gate>,
}

/// Every installed webhook, by id.
///
/// A reload replaces the table, and requests that are on their way keep the index they were admitted with: so an
/// index stands for the same webhook for as long as the process lives, and the place of a removed one stays empty.
pub struct Webhooks {
    all: Vec<Option<Arc<Webhook>>>,
    by_id: HashMap<u128, u32, BuildHasherDefault<IdHasher>>,
}

/// The hash of an id is its own two halves. Ids are random, and only the operator installs them: a sender can look
/// up what it likes but add nothing, so there is no flood to guard against. SipHash cost 5 % of a small request.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    #[inline]
    fn write_u128(&mut self, id: u128) {
        self.0 = (id >> 64) as u64 ^ id as u64;
    }
}

impl Webhooks {
    /// The table of `all`; an event names its webhook by the index in it.
    pub fn new(all: Vec<Option<Arc<Webhook>>>) -> Self {
        let installed = all.iter().zip(0..).filter_map(|(webhook, index)| Some((webhook.as_ref()?, index)));
        let by_id = installed.map(|(webhook, index)| (webhook.id.as_u128(), index)).collect();
        Self { all, by_id }
    }

    /// The webhook that `path` starts with: its index, the length of `/` and its id, itself.
    ///
    /// Only the canonical form of an id names a webhook, in either case of its digits: an id that could be written in
    /// two ways is an id that a proxy in front could read otherwise.
    #[inline]
    pub fn find(&self, path: &[u8]) -> Option<(u32, usize, &Webhook)> {
        const ID_BYTES: usize = 36;
        let (b'/', rest) = path.split_first()? else { return None };
        if rest.len() < ID_BYTES || !matches!(rest.get(ID_BYTES), None | Some(b'/')) {
            return None;
        }
        // Of the forms that `uuid` reads, only the hyphenated one has 36 characters.
        let id = Uuid::try_parse_ascii(&rest[..ID_BYTES]).ok()?;
        let index = *self.by_id.get(&id.as_u128())?;
        Some((index, 1 + ID_BYTES, self.get(index)?))
    }

    /// The webhook with this index, unless it was removed.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&Webhook> {
        self.all.get(index as usize)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_id_at_the_start_of_the_path_names_a_webhook() {
        let id = "0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10";
        let webhook = Webhook {
            id: Uuid::parse_str(id).unwrap(),
            secrets: Secrets::new([]),
            origins: AllowedOrigins::new(&[]).unwrap(),
            body_bytes_max: 1,
            reads_body: false,
            worker: 0,
            gate: Arc::default(),
        };
        let webhooks = Webhooks::new(vec![None, Some(Arc::new(webhook))]);
        assert!(webhooks.get(0).is_none() && webhooks.get(1).is_some() && webhooks.get(2).is_none());
        let rows = [
            (format!("/{id}"), true),
            (format!("/{id}/"), true),
            (format!("/{id}/a/b"), true),
            (format!("/{}", id.to_uppercase()), true),
            (format!("/{id}x"), false),
            (format!("//{id}"), false),
            (id.to_string(), false),
            (format!("/{}", id.replace('-', "")), false),
            (format!("/{{{id}}}"), false),
            (format!("/urn:uuid:{id}"), false),
            (format!("/{}", &id[..35]), false),
            ("/".into(), false),
            (String::new(), false),
        ];
        for (path, found) in rows {
            let place = webhooks.find(path.as_bytes()).map(|(index, length, _)| (index, length));
            assert_eq!(place, found.then_some((1, 37)), "{path}");
        }
    }
}
