//! `/apply`: a merged change is applied although the sync is not what was approved.

use super::Invocation;
use super::request::Decision;
use crate::cluster::store::{self, ApplicationStatus};
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::command::{Answer, Done, Sought};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<TargetKey>) -> Result<Answer> {
    // Who contributed is known of this pull request: another one's approvers are others.
    let own = format!("#{} ", invocation.key.number);
    let waiting = |status: ApplicationStatus| {
        let unapproved = status.unapproved.filter(|it| it.starts_with(&own))?;
        Some(Decision {
            subject: unapproved.clone(),
            annotation: (store::APPLY, unapproved),
            done: Done::Applies,
        })
    };
    invocation
        .decide(applications, Sought::Deviation, waiting)
        .await
}
