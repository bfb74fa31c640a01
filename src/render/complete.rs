//! Puts what is elsewhere beside the files of the tree, before the jail: charts into the `charts/` of
//! those that depend on them.
//!
//! What is wanted is pinned (an exact version), and stands in files that are part of the inputs' hash:
//! the hash need not cover what is fetched.

use std::borrow::Cow;
use std::sync::Arc;

use super::inputs::{Inputs, MOST_FILES, MOST_INPUT};
use super::remote::ChartVersion;
use super::run::Trouble;
use super::{NotRendered, Renderer};
use crate::domain::Invalid;

/// The most that one application may want.
pub(super) const MOST_WANTED: usize = 100;

/// Something from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Where it is asked for, as `path:line`.
    pub(super) at: String,
    /// The directory that it is put into.
    pub(super) into: String,
    pub(super) chart: ChartVersion,
    /// What helps if windlass may not fetch it.
    pub(super) instead: String,
}

impl Renderer {
    /// The inputs with what is wanted from elsewhere.
    pub(super) async fn complete<'a>(
        &self,
        inputs: &'a Inputs,
    ) -> Result<Cow<'a, Inputs>, NotRendered> {
        if inputs.wanted.is_empty() {
            return Ok(Cow::Borrowed(inputs));
        }
        let mut complete = inputs.clone();
        for wanted in &inputs.wanted {
            let fetched = self.fetch(wanted).await?;
            for (path, content) in fetched.iter() {
                let path = format!("{}/{path}", wanted.into);
                complete.files.insert(path, Arc::clone(content));
            }
        }
        let bytes: usize = complete.files.values().map(|content| content.len()).sum();
        if complete.files.len() > 2 * MOST_FILES || bytes > 2 * MOST_INPUT {
            return Err(Invalid(format!(
                "{}: with what is fetched, more than {} files or {} MiB are read: split the application",
                inputs.directory,
                2 * MOST_FILES,
                (2 * MOST_INPUT) >> 20
            ))
            .into());
        }
        Ok(Cow::Owned(complete))
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Arc<super::remote::Unpacked>, NotRendered> {
        let Wanted {
            at, chart, instead, ..
        } = wanted;
        let ChartVersion {
            repository,
            name,
            version,
        } = chart;
        let Some(fetcher) = &self.fetcher else {
            let why = format!(
                "{at}: the chart `{name}` is not in this repository, and windlass may fetch nothing from elsewhere: {instead}, or have the server's administrator allow `- url: {repository}` (--sources)"
            );
            return Err(Invalid(why).into());
        };
        let message =
            |why: &str| format!("{at}: the chart `{name}` {version} of {repository}: {why}");
        fetcher.chart(chart).await.map_err(|trouble| match trouble {
            Trouble::Author(why) => NotRendered::Invalid(Invalid(message(&why))),
            Trouble::Passing(why) => NotRendered::Passing(message(&why)),
        })
    }
}
