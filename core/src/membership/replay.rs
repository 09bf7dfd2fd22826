//! Which counters of one sender were already accepted: a sliding window.
//!
//! UDP reorders a little and an attacker replays at will. Everything up to 127 below the highest
//! accepted counter can still be told apart; what is older counts as stale.

use super::Rejected;

/// How far a counter may lag behind the highest; a burst of one sender is far shorter.
const WIDTH: u64 = u128::BITS as u64;

/// The counters accepted from one run of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    /// Bit `i` set: `highest - i` was accepted.
    seen: u128,
}

// === impl Window ===

impl Window {
    /// A window that has accepted one counter.
    pub(super) const fn starting_at(counter: u64) -> Self {
        Self {
            highest: counter,
            seen: 1,
        }
    }

    /// Accepts a counter once. On an error nothing has changed.
    pub(super) fn accept(&mut self, counter: u64) -> Result<(), Rejected> {
        if let Some(ahead) = counter.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = if ahead < WIDTH { self.seen << ahead } else { 0 } | 1;
            self.highest = counter;
            return Ok(());
        }
        let behind = self.highest - counter;
        if behind >= WIDTH {
            return Err(Rejected::Stale);
        }
        let bit = 1 << behind;
        if self.seen & bit != 0 {
            return Err(Rejected::Replayed);
        }
        self.seen |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_edges_of_the_window_are_exact() {
        let mut window = Window::starting_at(200);
        assert_eq!(window.accept(200), Err(Rejected::Replayed));
        assert_eq!(window.accept(73), Ok(()), "127 behind is still told apart");
        assert_eq!(window.accept(72), Err(Rejected::Stale));
        assert_eq!(window.accept(327), Ok(()));
        assert_eq!(
            window.accept(200),
            Err(Rejected::Replayed),
            "127 behind is remembered"
        );
        assert_eq!(window.accept(328), Ok(()));
        assert_eq!(window.accept(200), Err(Rejected::Stale));
        assert_eq!(window.accept(u64::MAX), Ok(()));
        assert_eq!(window.accept(u64::MAX), Err(Rejected::Replayed));
        assert_eq!(window.accept(0), Err(Rejected::Stale));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn the_window_agrees_with_a_set(first in 0_u64..400, rest in prop::collection::vec(0_u64..400, 0..200)) {
                let mut window = Window::starting_at(first);
                let mut model = BTreeSet::from([first]);
                for counter in rest {
                    let highest = *model.last().expect("never empty");
                    let expected = if counter + WIDTH <= highest {
                        Err(Rejected::Stale)
                    } else if model.contains(&counter) {
                        Err(Rejected::Replayed)
                    } else {
                        model.insert(counter);
                        Ok(())
                    };
                    prop_assert_eq!(window.accept(counter), expected);
                }
            }
        }
    }
}
