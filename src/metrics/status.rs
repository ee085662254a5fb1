//! Requests counted by the status of their answer.

use super::counter::Counter;

/// The statuses that inrush answers with (100 is no answer, it only asks for the body), in rising order. The
/// refusals of the HTTP table are all among them, which a test beside the console makes sure of.
pub(super) const STATUSES: [u16; 20] =
    [200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 500, 501, 502, 503, 504, 505];
/// One slot for each status and one, the last, for any other.
pub(super) const SLOTS: usize = STATUSES.len() + 1;

/// One past the highest status that HTTP knows (RFC 9110 §15).
const STATUS_END: usize = 600;
/// The slot of each status, looked up in one load.
static SLOT_OF: [u8; STATUS_END] = {
    let mut slots = [STATUSES.len() as u8; STATUS_END];
    let mut at = 0;
    while at < STATUSES.len() {
        slots[STATUSES[at] as usize] = at as u8;
        at += 1;
    }
    slots
};

/// One counter for each status. One thread writes it.
#[derive(Debug, Default)]
pub struct ByStatus([Counter; SLOTS]);

impl ByStatus {
    /// Counts one answer with this status.
    #[inline]
    pub fn count(&self, status: u16) {
        self.0[slot_of(status)].add(1);
    }

    /// How many answers had this status; any status outside the list gives what all of those had together.
    pub fn get(&self, status: u16) -> u64 {
        self.0[slot_of(status)].get()
    }

    /// Whether the status has a counter of its own.
    pub fn knows(status: u16) -> bool {
        slot_of(status) < STATUSES.len()
    }

    pub(super) fn slots(&self) -> [u64; SLOTS] {
        std::array::from_fn(|at| self.0[at].get())
    }
}

#[inline]
fn slot_of(status: u16) -> usize {
    SLOT_OF.get(usize::from(status)).map_or(STATUSES.len(), |slot| usize::from(*slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_slot_and_the_rest_share_one() {
        assert!(STATUSES.is_sorted());
        for status in 0..=u16::MAX {
            let expected = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
            assert_eq!(slot_of(status), expected, "{status}");
            assert_eq!(ByStatus::knows(status), expected < STATUSES.len(), "{status}");
        }
    }

    #[test]
    fn counts_go_where_they_belong() {
        let requests = ByStatus::default();
        for status in [200, 200, 503, 418, 999, 0] {
            requests.count(status);
        }
        assert_eq!((requests.get(200), requests.get(503), requests.get(404)), (2, 1, 0));
        assert_eq!(requests.get(418), 3, "the three strangers share a slot");
        assert_eq!(requests.slots().iter().sum::<u64>(), 6);
    }
}
