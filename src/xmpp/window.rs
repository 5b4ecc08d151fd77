//! How many blocks may be on the way: as many as the servers let through in good time.
//!
//! Servers limit what a client may send, often to a few thousand octets a second, by not reading on. Whatever is on the way
//! then waits in a queue, and behind it whatever is asked next. So the window follows the measured round trip: it grows while
//! that is short, and is halved when it comes near the time that an answer may take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Blocks that may be on the way before anything is known of the servers.
const START: usize = 2;

/// The part of the time for one answer that a block and its answer may take. What is asked behind a full window, a ping
/// perhaps, then has its answer in time as well.
const PART: u32 = 3;

/// The blocks of one bytestream that were sent and not acknowledged.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    size: usize,
    /// The longest round trip that is not too long.
    longest: Duration,
    /// When each block on the way was sent, the oldest first.
    sent: VecDeque<Instant>,
    /// Blocks that left before the last change for the worse, and tell nothing about it.
    older: usize,
}

impl Window {
    /// At most `most` blocks, at least one; an answer may take `reply`.
    pub(super) fn new(most: usize, reply: Duration) -> Self {
        let most = most.max(1);
        Self { most, size: most.min(START), longest: reply / PART, sent: VecDeque::new(), older: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < self.size
    }

    pub(super) fn on_the_way(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.sent.push_back(now);
    }

    /// The oldest `blocks` have arrived; the answer is that to the last of them.
    pub(super) fn acknowledged(&mut self, blocks: usize, now: Instant) {
        let was_full = !self.has_room();
        let Some(sent) = self.sent.drain(..blocks.min(self.sent.len())).next_back() else { return };
        let round_trip = now.saturating_duration_since(sent);
        let old = self.older > 0;
        self.older = self.older.saturating_sub(blocks);
        if old {
            return;
        }
        if round_trip > self.longest {
            self.size = (self.size / 2).max(1);
            self.older = self.sent.len();
        } else if round_trip <= self.longest / 2 && was_full {
            // Only a window that was filled shows that the servers bear it.
            self.size = self.most.min(self.size + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: Duration = Duration::from_secs(20);
    const LATENCY: Duration = Duration::from_millis(50);

    /// A block of 4,096 octets in base64 and its `<iq/>`.
    const BLOCK: f64 = 5700.0;

    /// How a transfer over a limited link went.
    struct Run {
        took: Duration,
        longest: Duration,
        largest: usize,
    }

    /// Sends blocks over a link that takes `rate` octets per second, after a first `burst`.
    fn run(most: usize, rate: f64, burst: f64, blocks: usize) -> Run {
        let start = Instant::now();
        let (mut now, mut free, mut credit) = (start, start, burst);
        let mut window = Window::new(most, REPLY);
        let mut answers = VecDeque::new();
        let mut run = Run { took: Duration::ZERO, longest: Duration::ZERO, largest: 0 };
        let mut left = blocks;
        loop {
            while left > 0 && window.has_room() {
                window.sent(now);
                left -= 1;
                let paid = BLOCK.min(credit);
                credit -= paid;
                free = free.max(now) + Duration::from_secs_f64((BLOCK - paid) / rate);
                answers.push_back((now, free + 2 * LATENCY));
            }
            run.largest = run.largest.max(window.on_the_way());
            let Some((sent, due)) = answers.pop_front() else { break };
            now = due;
            run.longest = run.longest.max(now - sent);
            window.acknowledged(1, now);
        }
        run.took = now - start;
        run
    }

    #[test]
    fn a_slow_link_is_used_to_the_full_and_never_times_out() {
        for rate in [3000.0, 10_000.0] {
            for burst in [0.0, 20_000.0] {
                for most in [1, 8, 64] {
                    let blocks = 200;
                    let run = run(most, rate, burst, blocks);
                    assert!(run.longest < REPLY, "{rate} {burst} {most}: {:?}", run.longest);
                    let shortest = (blocks as f64 * BLOCK - burst) / rate;
                    let slack = if most == 1 { 1.25 } else { 1.02 };
                    let took = run.took.as_secs_f64();
                    assert!(took < slack * shortest, "{rate} {burst} {most}: {took} of {shortest}");
                }
            }
        }
    }

    #[test]
    fn what_is_asked_behind_the_blocks_is_answered_in_time() {
        // After the first round the window is so small that a ping waits no longer than a part of its time.
        let run = run(64, 3000.0, 0.0, 200);
        assert!(run.longest <= REPLY / PART + Duration::from_secs_f64(BLOCK / 3000.0), "{:?}", run.longest);
    }

    #[test]
    fn a_fast_link_gets_the_whole_window_at_once() {
        let run = run(8, 1e9, 0.0, 40);
        assert_eq!(run.largest, 8);
        // Two, three, five, eight: a window more than without a beginning.
        assert!(run.took <= 2 * LATENCY * (40 / 8 + 3), "{:?}", run.took);
    }

    #[test]
    fn the_window_is_bounded_on_both_sides() {
        let now = Instant::now();
        for most in [0, 1, 2, 3] {
            let mut window = Window::new(most, REPLY);
            for _ in 0..10 {
                while window.has_room() {
                    window.sent(now);
                }
                assert!(window.on_the_way() <= most.max(1));
                window.acknowledged(1, now);
            }
            window.acknowledged(usize::MAX, now + REPLY);
            window.acknowledged(1, now);
            assert!(window.has_room());
        }
    }

    #[test]
    fn too_long_a_round_trip_halves_once() {
        let start = Instant::now();
        let mut window = Window::new(8, REPLY);
        for _ in 0..6 {
            while window.has_room() {
                window.sent(start);
            }
            window.acknowledged(1, start);
        }
        while window.has_room() {
            window.sent(start);
        }
        assert_eq!(window.on_the_way(), 8);
        let longest = REPLY / PART;
        window.acknowledged(1, start + longest);
        assert_eq!(window.size, 8);
        let late = start + longest + Duration::from_nanos(1);
        window.acknowledged(1, late);
        // The others left before the change.
        window.acknowledged(6, late);
        assert_eq!((window.size, window.on_the_way()), (4, 0));
        window.sent(start);
        window.acknowledged(1, late);
        assert_eq!(window.size, 2);
    }
}
