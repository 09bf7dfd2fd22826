//! A list in pages: what is held at a time is one page, however many objects there are.

use std::fmt;
use std::time::Duration;

use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::trouble::{Reason, Trouble};

/// Objects in a page: a complete Service is about 9 KB in memory, so a page is about 2 MB.
const PAGE: u32 = 250;

/// From asking for a page to its last byte. The client gives up on a silent server sooner; this
/// bounds an answer that trickles.
const PATIENCE: Duration = Duration::from_secs(30);

/// A list under way.
#[derive(Debug)]
pub(super) struct Pages {
    fields: Option<String>,
    labels: Option<String>,
    token: Option<String>,
    is_done: bool,
    /// The version of the list, once it is complete.
    pub(super) version: String,
}

// === impl Pages ===

impl Pages {
    pub(super) fn new(fields: Option<String>, labels: Option<String>) -> Self {
        Self {
            fields,
            labels,
            token: None,
            is_done: false,
            version: String::new(),
        }
    }

    /// The next page; `None` after the last.
    pub(super) async fn next<K>(&mut self, api: &Api<K>) -> Result<Option<Vec<K>>, Trouble>
    where
        K: Clone + DeserializeOwned + fmt::Debug,
    {
        if self.is_done {
            return Ok(None);
        }
        let params = ListParams {
            field_selector: self.fields.clone(),
            label_selector: self.labels.clone(),
            limit: Some(PAGE),
            continue_token: self.token.take(),
            ..ListParams::default()
        };
        let list = timeout(PATIENCE, api.list(&params))
            .await
            .map_err(|_| Trouble::timed_out())?
            .map_err(|error| Trouble::of(&error))?;
        self.token = list.metadata.continue_.filter(|token| !token.is_empty());
        self.is_done = self.token.is_none();
        if self.is_done {
            self.version = list
                .metadata
                .resource_version
                .filter(|version| !version.is_empty())
                .ok_or_else(|| {
                    let sentence = "the API server lists without a resource version";
                    Trouble::new(Reason::Unexpected, sentence.to_owned())
                })?;
        }
        Ok(Some(list.items))
    }
}
