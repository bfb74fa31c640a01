//! One entry of `applications`: a pattern of directories, and the settings of the
//! applications in them.

use std::time::Duration;

use super::raw::RawImage;
use super::{Stage, invalid};
use crate::domain::ownership::FieldRules;
use crate::domain::sync::DriftMode;
use crate::domain::{Invalid, Name};

/// One entry of `applications`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: Option<Name>,
    pub(super) segments: Vec<Segment>,
    pub(super) namespace: String,
    pub(super) images: Vec<(String, RawImage)>,
    pub(super) chart: Option<String>,
    pub(super) fields: FieldRules,
    pub(super) drift: DriftMode,
    pub(super) depends_on: Vec<Name>,
    pub(super) health_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Application,
    Stage,
}

impl Rule {
    pub(super) fn pattern(&self) -> String {
        let text = |segment: &Segment| match segment {
            Segment::Literal(text) => text.clone(),
            Segment::Application => "{application}".into(),
            Segment::Stage => "{stage}".into(),
        };
        self.segments.iter().map(text).collect::<Vec<_>>().join("/")
    }

    /// The application and stage of a directory. None: the rule does not match.
    pub(super) fn match_path<'a>(
        &self,
        stages: &'a [Stage],
        path: &str,
    ) -> Option<Result<(Name, &'a Stage), Invalid>> {
        let parts: Vec<&str> = path.split('/').collect();
        if parts.len() != self.segments.len() {
            return None;
        }
        let mut application = self.name.clone();
        let mut stage = None;
        for (segment, part) in self.segments.iter().zip(&parts) {
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Stage => {
                    stage = Some(stages.iter().find(|stage| stage.name.as_str() == *part)?)
                }
                Segment::Application => match part.parse() {
                    Ok(name) => application = Some(name),
                    Err(Invalid(why)) => {
                        return Some(Err(invalid(format_args!("directory `{path}`: {why}"))));
                    }
                },
            }
        }
        Some(Ok((application?, stage?)))
    }
}

/// The segments of a path pattern.
pub(super) fn segments(path: &str) -> Result<Vec<Segment>, Invalid> {
    path.trim_end_matches('/')
        .split('/')
        .map(|part| match part {
            "{application}" => Ok(Segment::Application),
            "{stage}" => Ok(Segment::Stage),
            "" | "." | ".." => Err(invalid(format_args!("`{path}`: a path is relative to the repository's root, without `.` and `..`"))),
            part if part.contains(['{', '}', '*']) => Err(invalid(format_args!(
                "`{path}`: each directory in it is `{{application}}`, `{{stage}}` or a plain name; `{part}` is none of these"
            ))),
            part => Ok(Segment::Literal(part.into())),
        })
        .collect()
}
