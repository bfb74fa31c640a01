//! What a stage asks of the pull requests that touch it: from the file as written to valid gates.

use std::time::Duration;

use super::raw::{RawFreeze, RawGates, RawWindow};
use super::{Approver, invalid};
use crate::domain::calendar::{self, Calendar, Freeze, RawTimes, Window};
use crate::domain::{Invalid, Name, sync};

/// The gates of a stage.
pub(super) struct Gates {
    pub(super) approvals: u32,
    pub(super) approvers: Vec<Approver>,
    pub(super) soak: Duration,
    pub(super) calendar: Calendar,
    pub(super) break_glass: Vec<Approver>,
}

impl RawGates {
    /// `stage`: whose gates they are, for errors.
    pub(super) fn validate(self, stage: &Name) -> Result<Gates, Invalid> {
        let within = |key: &str, Invalid(why): Invalid| {
            invalid(format_args!("stage `{stage}`: {key}: {why}"))
        };
        let approvers = self.approvers.iter().map(|text| text.parse());
        let windows = self.windows.iter().map(RawWindow::validate);
        let freezes = self.freezes.into_iter().map(RawFreeze::validate);
        Ok(Gates {
            approvals: self.approvals,
            approvers: approvers
                .collect::<Result<_, Invalid>>()
                .map_err(|Invalid(why)| invalid(format_args!("approvers: {why}")))?,
            soak: self
                .soak
                .map_or(Ok(Duration::ZERO), |text| soak(&text))
                .map_err(|why| within("soak", why))?,
            calendar: Calendar {
                windows: windows
                    .collect::<Result<_, _>>()
                    .map_err(|why| within("windows", why))?,
                freezes: freezes
                    .collect::<Result<_, _>>()
                    .map_err(|why| within("freezes", why))?,
            },
            break_glass: break_glass(&self.break_glass).map_err(|why| within("breakGlass", why))?,
        })
    }
}

impl RawWindow {
    fn validate(&self) -> Result<Window, Invalid> {
        let times = RawTimes {
            from: &self.from,
            to: &self.to,
            zone: self.zone.as_deref(),
        };
        calendar::window(self.days.as_deref(), &times)
    }
}

impl RawFreeze {
    fn validate(self) -> Result<Freeze, Invalid> {
        let times = RawTimes {
            from: &self.from,
            to: &self.until,
            zone: self.zone.as_deref(),
        };
        calendar::freeze(&times, self.reason.clone())
    }
}

fn soak(text: &str) -> Result<Duration, Invalid> {
    sync::duration(text)
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| {
            Invalid(format!(
                "`{text}` is not a duration: write 90s, 30m, 2h or 1d"
            ))
        })
}

/// People and teams. Who owns a file is no reason to override a gate.
fn break_glass(names: &[String]) -> Result<Vec<Approver>, Invalid> {
    let read = |text: &String| match text.parse() {
        Ok(Approver::CodeOwners) | Err(_) => Err(Invalid(format!(
            "`{text}` is nobody: write `user` or `organisation/team`"
        ))),
        Ok(named) => Ok(named),
    };
    names.iter().map(read).collect()
}
