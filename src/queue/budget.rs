//! The one budget of bytes. A permit gives its bytes back when it is dropped, and travels with what
//! it was taken for.
//!
//! Who is to have a part that others cannot take has an account in it. An account's bytes come first
//! from its own reserve and then from what all share, so that whoever takes all it can get leaves
//! the others their reserves.
//!
//! A share of a budget is a budget, too, and is divided likewise: with the same reserves, so that who
//! holds no more than its reserve of the whole finds room in each share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of a budget that is set aside as reserves, all accounts together.
const RESERVED_PART: u64 = 4;

/// What each of so many accounts has for itself. One alone needs no reserve.
fn reserve_bytes(limit: u64, accounts: usize) -> u64 {
    match accounts {
        0 | 1 => 0,
        _ => limit / RESERVED_PART / accounts as u64,
    }
}

/// The most that one of so many accounts can hold: all but the others' reserves.
#[must_use]
pub fn largest_part_bytes(limit: u64, accounts: usize) -> u64 {
    limit - reserve_bytes(limit, accounts) * accounts.saturating_sub(1) as u64
}

/// Bytes that may be held at once.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    books: Mutex<Books>,
}

/// Who holds what. `used` and `shared_used` follow from the accounts at every rest; everything that
/// changes an account changes them under the same lock, so that nothing can leak between them.
#[derive(Debug)]
struct Books {
    /// What all accounts hold.
    used: u64,
    /// What all accounts hold beyond their reserves.
    shared_used: u64,
    /// The limit without the reserves.
    shared: u64,
    /// The first is that of those without a name. Others stay once they are there: their names come
    /// from configurations only.
    accounts: Vec<Account>,
}

#[derive(Debug)]
struct Account {
    name: Arc<str>,
    reserve: u64,
    held: u64,
    /// Why it last got nothing.
    lack: Lack,
}

/// Why there was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The budget is used up: without the others there would have been room.
    Whole,
    /// The account would hold more than it ever may.
    Own,
}

impl Default for Account {
    fn default() -> Self {
        Self { name: "".into(), reserve: 0, held: 0, lack: Lack::Whole }
    }
}

impl Account {
    fn beyond(&self, held: u64) -> u64 {
        held.saturating_sub(self.reserve)
    }
}

impl Books {
    /// Adds bytes to an account, if they fit.
    fn grow(&mut self, place: usize, bytes: u64, limit: u64) -> bool {
        let Some(account) = self.accounts.get_mut(place) else { return false };
        let held = account.held.saturating_add(bytes);
        let used = self.used.saturating_add(bytes);
        let shared_used =
            (self.shared_used - account.beyond(account.held)).saturating_add(account.beyond(held));
        if used > limit || shared_used > self.shared {
            let is_own = account.reserve > 0 && account.beyond(held) > self.shared;
            account.lack = if is_own { Lack::Own } else { Lack::Whole };
            return false;
        }
        account.held = held;
        (self.used, self.shared_used) = (used, shared_used);
        true
    }

    /// Adds bytes of a share to an account. A reserve is always there, whatever is held beyond the
    /// limit; and what is too large for ever may be held while nobody holds more than its reserve.
    fn grow_share(&mut self, place: usize, bytes: u64) -> bool {
        let Some(account) = self.accounts.get_mut(place) else { return false };
        let held = account.held.saturating_add(bytes);
        let shared_used =
            (self.shared_used - account.beyond(account.held)).saturating_add(account.beyond(held));
        if account.beyond(held) > 0 && self.shared_used > 0 && shared_used > self.shared {
            return false;
        }
        self.used += held - account.held;
        account.held = held;
        self.shared_used = shared_used;
        true
    }

    /// The account of this name; that of those without one if there is none.
    fn place_of(&self, name: &str) -> usize {
        self.accounts.iter().position(|account| *account.name == *name).unwrap_or(0)
    }

    /// Gives the accounts of these names these reserves, and takes those of all others. Returns their
    /// places.
    fn reserve(&mut self, names: &[(Arc<str>, u64)], limit: u64) -> Vec<usize> {
        self.accounts.iter_mut().for_each(|account| account.reserve = 0);
        let mut places = Vec::with_capacity(names.len());
        for (name, reserve) in names {
            let place = match self.place_of(name) {
                0 => self.accounts.len(),
                known => known,
            };
            if place == self.accounts.len() {
                self.accounts.push(Account { name: Arc::clone(name), ..Account::default() });
            }
            if let Some(account) = self.accounts.get_mut(place) {
                account.reserve = *reserve;
            }
            places.push(place);
        }
        let reserved: u64 = self.accounts.iter().map(|account| account.reserve).sum();
        self.shared_used = self.accounts.iter().map(|of| of.beyond(of.held)).sum();
        self.shared = limit - reserved;
        places
    }

    /// Takes bytes off an account that holds them.
    fn shrink(&mut self, place: usize, bytes: u64) {
        let Some(account) = self.accounts.get_mut(place) else { return };
        let held = account.held - bytes;
        self.shared_used -= account.beyond(account.held) - account.beyond(held);
        self.used -= bytes;
        account.held = held;
    }
}

impl Budget {
    /// A budget of `limit` bytes, none of them used.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        let accounts = vec![Account::default()];
        let books = Books { used: 0, shared_used: 0, shared: limit, accounts };
        Arc::new(Self { limit, books: Mutex::new(books) })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All its bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes held by permits now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.books().used
    }

    /// Bytes held by the accounts that have a name.
    #[must_use]
    pub fn used_by_name(&self) -> Vec<(String, u64)> {
        let books = self.books();
        books.accounts.iter().skip(1).map(|of| (of.name.to_string(), of.held)).collect()
    }

    /// Gives each of these names an account with a reserve, and takes the reserves of all others.
    /// A name that is known keeps what it holds. What was taken before counts at once, so the
    /// reserves are sure as soon as that has come back.
    #[must_use]
    pub fn divide(self: &Arc<Self>, names: &[&str]) -> Vec<Purse> {
        let reserve = reserve_bytes(self.limit, names.len());
        let names: Vec<_> = names.iter().map(|name| (Arc::from(*name), reserve)).collect();
        let places = self.books().reserve(&names, self.limit);
        let purse = |((name, _), place)| Purse { budget: Arc::clone(self), name, place };
        names.into_iter().zip(places).map(purse).collect()
    }

    /// Divides this share among the accounts of the budget that it is a share of, with the reserves
    /// that they have there, as far as it goes. For [`Budget::try_take_share`].
    pub fn divide_like(&self, whole: &Self) {
        let reserved = |account: &&Account| account.reserve > 0;
        let books = whole.books();
        let names = books.accounts.iter().skip(1).filter(reserved);
        let names: Vec<_> = names.map(|of| (Arc::clone(&of.name), of.reserve)).collect();
        drop(books);
        let most = self.limit.checked_div(names.len() as u64).unwrap_or(0);
        let names: Vec<_> = names.into_iter().map(|(name, of)| (name, of.min(most))).collect();
        let _ = self.books().reserve(&names, self.limit);
    }

    /// Takes as much of this share as a permit holds of the whole, for the account of the same name.
    ///
    /// An account's reserve is always there. So if the share is divided like the whole, and gets back
    /// what it gave no later than the whole does, an account that holds no more than its
    /// reserve of the whole is never refused here. Beyond the reserves, one large request must not
    /// be refused for ever: it may take more than the share has while nobody else holds more than
    /// its reserve.
    #[must_use]
    pub fn try_take_share(self: &Arc<Self>, of: &Permit) -> Option<Permit> {
        let mut books = self.books();
        let (name, place) = (Arc::clone(&of.purse.name), books.place_of(&of.purse.name));
        let taken = books.grow_share(place, of.bytes);
        drop(books);
        let purse = Purse { budget: Arc::clone(self), name, place };
        taken.then(|| Permit { purse, bytes: of.bytes })
    }

    /// The most that the account of this name can hold while nobody else holds anything.
    #[must_use]
    pub fn part_bytes_max(&self, name: &str) -> u64 {
        let books = self.books();
        books.accounts.get(books.place_of(name)).map_or(0, |account| account.reserve) + books.shared
    }

    /// What those without a name take from.
    #[must_use]
    pub fn purse(self: &Arc<Self>) -> Purse {
        Purse { budget: Arc::clone(self), name: "".into(), place: 0 }
    }

    /// Takes bytes for no account in particular, or nothing if there is no room for all of them.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.purse().try_take(bytes)
    }
}

/// The way to an account's bytes.
#[derive(Clone, Debug)]
pub struct Purse {
    budget: Arc<Budget>,
    /// The account's; empty for those without one.
    name: Arc<str>,
    place: usize,
}

impl Purse {
    /// Takes bytes, or nothing if there is no room for all of them.
    #[must_use]
    pub fn try_take(&self, bytes: u64) -> Option<Permit> {
        self.grow(bytes).then(|| Permit { purse: self.clone(), bytes })
    }

    fn grow(&self, bytes: u64) -> bool {
        self.budget.books().grow(self.place, bytes, self.budget.limit)
    }

    /// The budget.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The most that the account can hold while nobody else holds anything.
    #[must_use]
    pub fn part_bytes_max(&self) -> u64 {
        self.budget.part_bytes_max(&self.name)
    }

    /// Why the account last got nothing. Meaningful right after it did.
    #[must_use]
    pub fn lack(&self) -> Lack {
        self.budget.books().accounts.get(self.place).map_or(Lack::Whole, |of| of.lack)
    }
}

/// Bytes taken from a [`Budget`]; given back on drop.
#[derive(Debug)]
#[must_use = "a permit gives its bytes back when it is dropped"]
pub struct Permit {
    purse: Purse,
    bytes: u64,
}

impl Permit {
    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Name of the account that it was taken from; empty for those without one.
    #[must_use]
    pub fn account(&self) -> &Arc<str> {
        &self.purse.name
    }

    /// Makes the permit hold `bytes`. Shrinking always succeeds; growing fails, and changes nothing,
    /// if there is no room.
    #[must_use]
    pub fn try_resize(&mut self, bytes: u64) -> bool {
        if bytes <= self.bytes {
            self.purse.budget.books().shrink(self.purse.place, self.bytes - bytes);
        } else if !self.purse.grow(bytes - self.bytes) {
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.purse.budget.books().shrink(self.purse.place, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_when_permits_are_dropped() {
        let budget = Budget::new(100);
        let first = budget.try_take(60).expect("room");
        assert!(budget.try_take(41).is_none());
        let mut second = budget.try_take(40).expect("room");
        assert_eq!(budget.used(), 100);
        assert!(!second.try_resize(41));
        assert_eq!((second.bytes(), budget.used()), (40, 100));
        assert!(second.try_resize(10));
        assert_eq!(budget.used(), 70);
        drop(first);
        assert!(second.try_resize(100));
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn more_than_a_share_is_taken_only_while_nobody_holds_more_than_its_reserve() {
        let whole = Budget::new(800);
        let [noisy, quiet] = whole.divide(&["noisy", "quiet"]).try_into().expect("two");
        let share = Budget::new(400);
        let take = |purse: &Purse, bytes| {
            let permit = purse.try_take(bytes).expect("room");
            share.try_take_share(&permit)
        };
        let one = take(&noisy, 1).expect("room");
        assert!(take(&noisy, 401).is_none());
        drop(one);
        share.divide_like(&whole);
        let reserve = take(&quiet, 100).expect("its reserve");
        let large = take(&noisy, 600).expect("nobody holds more than its reserve");
        assert_eq!(share.used(), 700);
        assert!(take(&noisy, 1).is_none());
        assert!(take(&quiet, 1).is_none());
        drop(reserve);
        let reserve = take(&quiet, 100).expect("its reserve");
        drop((large, reserve));
        assert_eq!((share.used(), whole.used()), (0, 0));
        assert_eq!((share.part_bytes_max("noisy"), share.part_bytes_max("")), (300, 200));
    }

    #[test]
    fn a_request_near_the_largest_number_does_not_wrap() {
        let budget = Budget::new(100);
        let _held = budget.try_take(1).expect("room");
        assert!(budget.try_take(u64::MAX).is_none());
    }

    #[test]
    fn what_others_leave_is_the_largest_part() {
        for (accounts, largest) in [(0, 800), (1, 800), (2, 700), (4, 650), (100, 602)] {
            assert_eq!(largest_part_bytes(800, accounts), largest, "{accounts}");
        }
    }

    #[test]
    fn who_takes_all_it_can_leaves_the_others_their_reserves() {
        let budget = Budget::new(800);
        let [noisy, quiet] = budget.divide(&["noisy", "quiet"]).try_into().expect("two");
        assert_eq!((noisy.part_bytes_max(), quiet.part_bytes_max()), (700, 700));
        let most = noisy.try_take(700).expect("its part");
        assert!(noisy.try_take(1).is_none());
        assert_eq!(noisy.lack(), Lack::Own);
        let reserve = quiet.try_take(100).expect("its reserve");
        assert!(quiet.try_take(1).is_none());
        assert_eq!(quiet.lack(), Lack::Whole);
        assert_eq!(budget.used(), 800);
        drop(most);
        assert!(quiet.try_take(600).is_some());
        drop(reserve);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn another_division_keeps_what_is_held() {
        let budget = Budget::new(800);
        let [a] = budget.divide(&["a"]).try_into().expect("one");
        let mut held = a.try_take(800).expect("all of it");
        let [a, b] = budget.divide(&["a", "b"]).try_into().expect("two");
        assert!(b.try_take(1).is_none(), "what is not there yet is not given twice");
        assert!(held.try_resize(700));
        let reserve = b.try_take(100).expect("its reserve");
        assert!(a.try_take(1).is_none());
        let [c] = budget.divide(&["c"]).try_into().expect("one");
        assert!(c.try_take(1).is_none());
        drop((held, reserve));
        assert!(c.try_take(800).is_some());
        assert_eq!(budget.used(), 0);
    }

    proptest::proptest! {
        /// Against books kept by adding up, whatever is taken, resized and dropped in which order.
        #[test]
        fn the_books_are_those_of_a_naive_clerk(
            keys in 1usize..5,
            steps in proptest::collection::vec((0usize..5, 0u64..500, 0u8..4), 0..200),
        ) {
            const LIMIT: u64 = 1_000;
            let budget = Budget::new(LIMIT);
            let names: Vec<String> = (0..keys).map(|key| key.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let purses = budget.divide(&names);
            let reserve = if keys < 2 { 0 } else { LIMIT / (4 * keys as u64) };
            let shared = LIMIT - reserve * keys as u64;
            let mut permits: Vec<(usize, Permit)> = Vec::new();
            for (choice, bytes, action) in steps {
                let held = |permits: &[(usize, Permit)]| -> Vec<u64> {
                    let of = |key| permits.iter().filter(move |(owner, _)| *owner == key);
                    (0..keys).map(|key| of(key).map(|(_, permit)| permit.bytes()).sum()).collect()
                };
                let fits = |mut held: Vec<u64>, key: usize, more: u64| {
                    held[key] += more;
                    held.iter().map(|held| held.saturating_sub(reserve)).sum::<u64>() <= shared
                };
                let before = held(&permits);
                match action {
                    0 | 1 => {
                        let key = choice % keys;
                        let permit = purses[key].try_take(bytes);
                        proptest::prop_assert_eq!(permit.is_some(), fits(before, key, bytes));
                        permits.extend(permit.map(|permit| (key, permit)));
                    }
                    2 if !permits.is_empty() => {
                        let place = choice % permits.len();
                        let (key, permit) = &mut permits[place];
                        let more = bytes.saturating_sub(permit.bytes());
                        let expected = fits(before, *key, more);
                        proptest::prop_assert_eq!(permit.try_resize(bytes), expected);
                    }
                    3 if !permits.is_empty() => {
                        let _ = permits.swap_remove(choice % permits.len());
                    }
                    _ => {}
                }
                let after = held(&permits);
                proptest::prop_assert_eq!(budget.used(), after.iter().sum::<u64>());
                proptest::prop_assert!(budget.used() <= LIMIT);
                let by_name: Vec<u64> = budget.used_by_name().iter().map(|(_, held)| *held).collect();
                proptest::prop_assert_eq!(&by_name, &after);
                for (key, purse) in purses.iter().enumerate() {
                    let sure = reserve.saturating_sub(after[key]);
                    proptest::prop_assert!(purse.try_take(sure).is_some(), "{} of {:?}", key, after);
                }
            }
            drop(permits);
            proptest::prop_assert_eq!(budget.used(), 0);
            for purse in &purses {
                proptest::prop_assert!(purse.try_take(LIMIT - reserve * (keys as u64 - 1)).is_some());
            }
        }
    }
}
