//! Ids that cost nothing: random in every bit that a UUID of version 4 has, from one seed.

use uuid::{Builder, Uuid};

/// As long as any id is in text.
pub(crate) const MARKER: &str = "########-####-####-####-############";

/// A stream of ids. Two streams share none, for all that chance can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    seed: u64,
    next: u64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { seed: Uuid::new_v4().as_u64_pair().1, next: 0 }
    }

    /// The next of them.
    pub(crate) fn next(&mut self) -> Uuid {
        self.next += 1;
        self.nth(self.next)
    }

    /// The `n`th of them, always the same.
    pub(crate) fn nth(&self, n: u64) -> Uuid {
        let high = mix(self.seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let low = mix(high ^ self.seed.rotate_left(32));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_and_well_formed() {
        let mut ids = [Ids::new(), Ids::new()];
        let drawn: HashSet<Uuid> = (0..20_000).map(|n| ids[n % 2].next()).collect();
        assert_eq!(drawn.len(), 20_000);
        assert!(drawn.iter().all(|id| id.get_version_num() == 4));
        assert_eq!(ids[0].nth(7), ids[0].nth(7));
        assert_eq!(ids[0].nth(7).to_string().len(), MARKER.len());
    }
}
