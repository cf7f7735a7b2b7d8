//! The server's half of an examination: which of a page's probes have arrived, and how.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::Serialize;

/// Pages that are remembered: as many as ever open the doctor in the same minute. A page more, and the oldest is forgotten.
const PAGES_MAX: usize = 1_000;

/// Responses that are under way at once, over all pages. Each is a timer of a few hundred bytes; one more is refused.
const OPEN_MAX: usize = 2_000;

/// What has arrived from all pages.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pages: Mutex<Pages>,
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Pages {
    notes: HashMap<u64, Note>,
    /// The pages, oldest first.
    order: VecDeque<u64>,
}

/// What has arrived from one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    /// Requests for a WebSocket that asked for one.
    pub(crate) upgrades: u32,
    /// Those from which the question for a WebSocket was taken out.
    pub(crate) stripped: u32,
    pub(crate) posts: u32,
    pub(crate) streams_begun: u32,
    pub(crate) streams_open: u32,
}

/// A response that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    notes: Arc<Notes>,
    id: Option<u64>,
}

impl Notes {
    /// Notes something of a page, and returns what there is of it by then. A page without an id is nobody.
    pub(crate) fn note(&self, id: Option<u64>, change: impl FnOnce(&mut Note)) -> Note {
        let Some(id) = id else { return Note::default() };
        let mut pages = self.pages();
        if !pages.notes.contains_key(&id) {
            if pages.order.len() == PAGES_MAX
                && let Some(oldest) = pages.order.pop_front()
            {
                pages.notes.remove(&oldest);
            }
            pages.order.push_back(id);
        }
        let note = pages.notes.entry(id).or_default();
        change(note);
        *note
    }

    /// Begins a response that takes its time; `None` if there are as many as may be.
    pub(crate) fn begin(self: &Arc<Self>, id: Option<u64>) -> Option<Open> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= OPEN_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.note(id, |note| {
            note.streams_begun = note.streams_begun.saturating_add(1);
            note.streams_open += 1;
        });
        Some(Open { notes: self.clone(), id })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing under it panics.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.notes.open.fetch_sub(1, Ordering::Relaxed);
        // It may have been forgotten, and come again, meanwhile.
        self.notes.note(self.id, |note| note.streams_open = note.streams_open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_more_than_are_remembered_takes_the_place_of_the_oldest() {
        let notes = Notes::default();
        for id in 0..PAGES_MAX as u64 {
            notes.note(Some(id), |note| note.posts += 1);
        }
        assert_eq!(notes.note(Some(0), |_| {}).posts, 1);
        notes.note(Some(PAGES_MAX as u64), |_| {});
        assert_eq!(notes.note(Some(1), |_| {}).posts, 1);
        assert_eq!(notes.pages().notes.len(), PAGES_MAX);
        assert_eq!(notes.note(Some(0), |_| {}), Note::default(), "the oldest is forgotten");
    }

    #[test]
    fn a_response_more_than_may_be_under_way_is_refused() {
        let notes = Arc::new(Notes::default());
        let open: Vec<_> = (0..OPEN_MAX).map(|_| notes.begin(Some(7)).unwrap()).collect();
        assert!(notes.begin(Some(7)).is_none());
        assert_eq!(notes.note(Some(7), |_| {}).streams_open as usize, OPEN_MAX);
        drop(open);
        assert_eq!(notes.note(Some(7), |_| {}).streams_open, 0);
        assert!(notes.begin(None).is_some());
    }
}
