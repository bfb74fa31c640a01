//! `/adopt`: the first sync may change objects that existed before windlass.

use super::Invocation;
use super::request::Decision;
use crate::cluster::store::{self, ApplicationStatus};
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::command::{Answer, Done, Sought};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<TargetKey>) -> Result<Answer> {
    let waiting = |status: ApplicationStatus| {
        let objects = status.adoption;
        (!objects.is_empty()).then(|| Decision {
            subject: "adopt".into(),
            annotation: (store::ADOPT, "true".into()),
            done: Done::Adopts(objects),
        })
    };
    invocation
        .decide(applications, Sought::Adoption, waiting)
        .await
}
