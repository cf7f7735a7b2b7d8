//! Kept topics, as the rest of the program reads them.

use std::sync::Arc;

use crate::{
    server::Lapwing,
    topic::Topic,
    topics::{
        broadcast::Broadcast,
        history::{HistoryError, Read},
        position::Position,
    },
};

impl Lapwing {
    /// Where a kept topic stands; `None` if it is not kept.
    ///
    /// Read it *before* the state that a page is rendered from, and give it to the page: it joins with it, and gets what was
    /// broadcast since. What happened between the two reads comes twice then, and nothing is missed.
    ///
    /// ```
    /// use lapwing::{Keep, Lapwing, Mount, Read};
    /// use serde_json::json;
    ///
    /// let mount = Mount::new().keep("room:*", Keep::last(100));
    /// let lapwing = Lapwing::builder().mount("/socket", mount).build()?;
    /// let before = lapwing.position("room:1").expect("it is kept");
    /// let after = lapwing.broadcast("room:1", "said", json!({"text": "hi"}))?.position;
    /// assert_eq!(lapwing.position("room:1"), after);
    ///
    /// let missed = lapwing.history("room:1", Read::After(before), 100)?;
    /// assert_eq!((missed.len(), &*missed[0].event), (1, "said"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn position(&self, topic: impl Into<Topic>) -> Option<Position> {
        self.0.node.topics.kept()?.position(&topic.into())
    }

    /// Reads at most `limit` messages of a kept topic, oldest first.
    ///
    /// [`Read::After`] gives the next ones and misses none; the others give as many as are remembered.
    ///
    /// # Errors
    ///
    /// When the topic is not kept; when what comes after the position is not remembered from there on, or the position is of
    /// another history.
    pub fn history(
        &self,
        topic: impl Into<Topic>,
        read: Read,
        limit: usize,
    ) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        self.0.node.history(&topic.into(), read, limit)
    }
}
