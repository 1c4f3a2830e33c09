//! Mutations of a corpus: the same for the same seed and corpus.

use fastrand::Rng;

/// Longer inputs are cut, so that one costs no more than many.
const LENGTH_MAX: usize = 8 << 10;

/// Numbers on whose other side something else happens.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 53,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// The same as text, and some that no integer is.
const EDGES_AS_TEXT: [&str; 12] = [
    "0",
    "-1",
    "1e308",
    "1e-320",
    "-0",
    "0.1",
    "9007199254740993",
    "18446744073709551616",
    "253402300799999",
    "253402300800000",
    "00",
    "1e999",
];

pub(super) struct Mutator<'c> {
    dice: Rng,
    corpus: &'c [Vec<u8>],
    tokens: &'c [Vec<u8>],
}

impl<'c> Mutator<'c> {
    pub(super) fn new(seed: u64, corpus: &'c [Vec<u8>], tokens: &'c [Vec<u8>]) -> Self {
        Self { dice: Rng::with_seed(seed), corpus, tokens }
    }

    /// An input with a few things wrong.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..1 << self.dice.u32(0..4) {
            self.change(&mut input);
        }
        input.truncate(LENGTH_MAX);
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        self.corpus[self.dice.usize(..self.corpus.len())].clone()
    }

    /// A piece of the input: mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.dice.usize(..=length);
        let longest = if self.dice.bool() { 8 } else { length };
        from..from + self.dice.usize(..=longest.min(length - from))
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        match self.dice.u32(0..10) {
            0 => {
                if let Some(byte) = input.get_mut(range.start) {
                    *byte ^= 1 << self.dice.u32(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(range.start) {
                    *byte = self.dice.u8(..);
                }
            }
            2 => drop(input.drain(range)),
            3 => input.truncate(range.start),
            4 => {
                let piece = input[range.clone()].to_vec();
                for _ in 0..self.dice.u32(1..20) {
                    let piece = piece.iter().copied();
                    input.splice(range.start..range.start, piece);
                    if input.len() > LENGTH_MAX {
                        break;
                    }
                }
            }
            5 => {
                let other = self.pick();
                let piece = self.range(other.len());
                drop(input.splice(range, other[piece].iter().copied()));
            }
            6 => {
                let width = [1, 2, 4, 8][self.dice.usize(..4)];
                let edge = EDGES[self.dice.usize(..EDGES.len())].to_le_bytes();
                let to = input.len().min(range.start + width);
                drop(input.splice(range.start..to, edge.into_iter().take(width)));
            }
            7 => self.number(input, range.start),
            8 if !self.tokens.is_empty() => {
                let token = &self.tokens[self.dice.usize(..self.tokens.len())];
                let at = if self.dice.bool() { range.start..range.start } else { range };
                drop(input.splice(at, token.iter().copied()));
            }
            _ => {
                let noise: Vec<u8> = (0..self.dice.u32(1..5)).map(|_| self.dice.u8(..)).collect();
                drop(input.splice(range.start..range.start, noise));
            }
        }
    }

    /// Another number in place of the next one in digits.
    fn number(&mut self, input: &mut Vec<u8>, from: usize) {
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let Some(at) = input[from..].iter().position(is_digit) else { return };
        let digits = input[from + at..].iter().take_while(|byte| is_digit(byte)).count();
        let edge = EDGES_AS_TEXT[self.dice.usize(..EDGES_AS_TEXT.len())];
        drop(input.splice(from + at..from + at + digits, edge.bytes()));
    }
}
