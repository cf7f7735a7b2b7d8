//! A vector with stable places, and circular lists through it.

use std::num::NonZeroU32;

/// A place in a [`Slab`]. Four bytes, also when it may be absent; that halves what links cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(NonZeroU32);

impl Id {
    fn new(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("a shard has less than 4 billion entries"))
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[derive(Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<Id>,
}

/// An emptied slab gives memory back beyond this many places.
const KEPT: usize = 16;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.items.reserve(more.saturating_sub(self.free.len()));
    }

    pub(crate) fn insert(&mut self, item: T) -> Id {
        match self.free.pop() {
            Some(id) => {
                self.items[id.place()] = Some(item);
                id
            }
            None => {
                self.items.push(Some(item));
                Id::new(self.items.len() - 1)
            }
        }
    }

    pub(crate) fn remove(&mut self, id: Id) -> T {
        let item = self.items[id.place()].take().expect("an id is used until its removal");
        self.free.push(id);
        if self.free.len() == self.items.len() {
            self.items.clear();
            self.items.shrink_to(KEPT);
            self.free.clear();
            self.free.shrink_to(KEPT);
        }
        item
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }
}

impl<T> std::ops::Index<Id> for Slab<T> {
    type Output = T;

    fn index(&self, id: Id) -> &T {
        self.items[id.place()].as_ref().expect("an id is used until its removal")
    }
}

impl<T> std::ops::IndexMut<Id> for Slab<T> {
    fn index_mut(&mut self, id: Id) -> &mut T {
        self.items[id.place()].as_mut().expect("an id is used until its removal")
    }
}

/// An element's neighbours in one of the circular lists that it is in. A list is known by its first element,
/// whose previous is the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) previous: Id,
    pub(crate) next: Id,
}

/// An element of a list named `L`.
pub(crate) trait Linked<L> {
    fn link(&self) -> Option<Link>;
    fn set_link(&mut self, link: Option<Link>);
}

impl<T> Slab<T> {
    /// Puts an element at the end of the list that starts at `first`; returns the list's first element.
    pub(crate) fn append<L>(&mut self, first: Option<Id>, id: Id) -> Id
    where
        T: Linked<L>,
    {
        let Some(first) = first else {
            self[id].set_link(Some(Link { previous: id, next: id }));
            return id;
        };
        let last = self.link_of(first).previous;
        self[id].set_link(Some(Link { previous: last, next: first }));
        self.relink(last, |link| link.next = id);
        self.relink(first, |link| link.previous = id);
        first
    }

    /// Takes an element out of the list that starts at `first`; returns the list's first element, if any is
    /// left.
    pub(crate) fn detach<L>(&mut self, first: Id, id: Id) -> Option<Id>
    where
        T: Linked<L>,
    {
        let Link { previous, next } = self.link_of(id);
        self[id].set_link(None);
        if next == id {
            return None;
        }
        self.relink(previous, |link| link.next = next);
        self.relink(next, |link| link.previous = previous);
        Some(if first == id { next } else { first })
    }

    /// The element after `id` in the list that starts at `first`, unless `id` is the last.
    pub(crate) fn after<L>(&self, first: Id, id: Id) -> Option<Id>
    where
        T: Linked<L>,
    {
        Some(self.link_of(id).next).filter(|next| *next != first)
    }

    fn link_of<L>(&self, id: Id) -> Link
    where
        T: Linked<L>,
    {
        self[id].link().expect("an element of the list is linked")
    }

    fn relink<L>(&mut self, id: Id, change: impl FnOnce(&mut Link))
    where
        T: Linked<L>,
    {
        let mut link = self.link_of(id);
        change(&mut link);
        self[id].set_link(Some(link));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bead(Option<Link>);

    impl Linked<()> for Bead {
        fn link(&self) -> Option<Link> {
            self.0
        }

        fn set_link(&mut self, link: Option<Link>) {
            self.0 = link;
        }
    }

    fn walk(beads: &Slab<Bead>, first: Option<Id>) -> Vec<Id> {
        std::iter::successors(first, |id| beads.after::<()>(first?, *id)).collect()
    }

    #[test]
    fn lists_keep_their_order() {
        let mut beads = Slab::new();
        let ids: Vec<Id> = (0..4).map(|_| beads.insert(Bead(None))).collect();
        let mut first = None;
        for id in &ids {
            first = Some(beads.append::<()>(first, *id));
        }
        assert_eq!(walk(&beads, first), ids);
        first = beads.detach::<()>(ids[0], ids[2]);
        assert_eq!(walk(&beads, first), [ids[0], ids[1], ids[3]]);
        first = beads.detach::<()>(ids[0], ids[0]);
        assert_eq!(walk(&beads, first), [ids[1], ids[3]]);
        first = beads.detach::<()>(ids[1], ids[3]);
        assert_eq!(walk(&beads, first), [ids[1]]);
        first = beads.detach::<()>(ids[1], ids[1]);
        assert_eq!(walk(&beads, first), []);
    }

    #[test]
    fn an_emptied_slab_gives_memory_back() {
        let mut numbers = Slab::new();
        let ids: Vec<Id> = (0..1000).map(|number| numbers.insert(number)).collect();
        for (number, id) in ids.into_iter().enumerate() {
            assert_eq!(numbers.remove(id), number);
        }
        assert!(numbers.items.capacity() <= KEPT && numbers.free.capacity() <= KEPT);
    }
}
