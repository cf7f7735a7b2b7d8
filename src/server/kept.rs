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
    /// The position of a kept topic; `None` if it is not kept. In a cluster this node knows it of topics that have members here, and else it is `None`, too:
    /// see [`fetch_position`](Self::fetch_position).
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

    /// The position of a kept topic, whether or not anybody is joined to it here: in a cluster its store is asked. Cancel safe: it changes
    /// nothing.
    ///
    /// ```
    /// use lapwing::{Keep, Lapwing, Mount, Read};
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mount = Mount::new().keep("room:*", Keep::last(100));
    /// let lapwing = Lapwing::builder().mount("/socket", mount).build()?;
    /// let before = lapwing.fetch_position("room:1").await?;
    /// lapwing.broadcast("room:1", "said", json!({"text": "hi"}))?;
    /// assert_eq!(lapwing.fetch_history("room:1", Read::After(before), 100).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the topic is not kept, or the store did not answer in time: with the feature `cluster`, `ClusterOptions::call_timeout`.
    pub async fn fetch_position(&self, topic: impl Into<Topic>) -> Result<Position, HistoryError> {
        self.0.node.fetch_position(&topic.into()).await
    }

    /// Reads as [`history`](Self::history) does, whether or not anybody is joined to the topic here: in a cluster its store is asked.
    /// Cancel safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history); or when the store did not answer in time.
    pub async fn fetch_history(
        &self,
        topic: impl Into<Topic>,
        read: Read,
        limit: usize,
    ) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        self.0.node.fetch_history(&topic.into(), read, limit).await
    }

    /// Reads at most `limit` messages of a kept topic, oldest first.
    ///
    /// [`Read::After`] gives the next ones and misses none; the others give as many as are remembered.
    ///
    /// # Errors
    ///
    /// When the topic is not kept; when nobody on this node of a cluster is joined to it; when what comes after the position is not remembered from there on, or the position is of
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
