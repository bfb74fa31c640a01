//! What a sync does beside applying: hooks, proofs, questions, receipts, and
//! stages that others keep.
//!
//! - `approved`: a sync that is not what was approved stops
//! - `hooks`: hooks of charts and of Argo CD
//! - `decisions`: what people are asked: deletions of an application that leaves Git, drift
//! - `discovered`: applications that objects of Argo CD or Flux declare; `releases`: what
//!   HelmReleases install; `sets`: what ApplicationSets make; `variables`: what Flux fills in
//! - `sources`: where an Application takes its files from, and if it goes or moves
//! - `ignored`: fields that Argo CD does not compare
//! - `external`: stages that Argo CD or Flux keep; `requests`: what is requested of them;
//!   `moving`: what moves from them to windlass
//! - `status`: what is proven and told: images that run, commits, health of custom kinds

mod activity;
mod approved;
mod decisions;
mod discovered;
mod encrypted;
pub mod external;
mod hooks;
mod ignored;
mod moving;
mod releases;
mod requests;
mod sets;
mod sources;
mod status;
mod variables;
