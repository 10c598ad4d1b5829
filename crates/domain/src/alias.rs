//! The ids under which second and further attempts are known to their agents.
//!
//! A client may not post a task under such an id. So that most posts need not be looked up among all
//! attempts, these ids are UUIDs of version 8, which no client makes by chance: libraries make versions 1 to
//! 7.

use uuid::{Builder, Uuid, Version};

/// An id for an attempt, of 122 random bits.
pub fn new() -> Uuid {
    Builder::from_custom_bytes(Uuid::new_v4().into_bytes()).into_uuid()
}

/// Whether `id` may be the id of an attempt that is not its task's first.
pub fn is_possible(id: Uuid) -> bool {
    id.get_version() == Some(Version::Custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_attempts_are_told_from_other_ids() {
        let [one, other] = [new(), new()];
        assert_ne!(one, other);
        assert!(is_possible(one) && is_possible(other));
        assert!(![Uuid::new_v4(), Uuid::nil(), Uuid::max()].into_iter().any(is_possible));
    }
}
