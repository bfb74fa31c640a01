//! From the file as written to a valid catalog.

use std::time::Duration;

use super::pattern::{APPLICATION, Pattern, STAGE};
use super::placeholders::unguarded;
use super::raw::{Ordered, RawCatalog, RawHealth, RawReconcile, RawReconciler, RawRule, RawStage};
use super::rule::Rule;
use super::{
    Catalog, HEALTH_TIMEOUT, LOCAL, Named, ROLLBACK_WINDOW, Reconciler, RollbackPolicy, Stage,
    invalid,
};
use crate::domain::cel::Condition;
use crate::domain::health::HealthRule;
use crate::domain::notification::Subscription;
use crate::domain::ownership::FieldRules;
use crate::domain::{Invalid, Name, sync};

impl RawCatalog {
    pub(super) fn validate(self) -> Result<Catalog, Invalid> {
        let health = self
            .health
            .into_iter()
            .map(RawHealth::validate)
            .collect::<Result<_, _>>()?;
        if self.version != 1 {
            return Err(invalid(format_args!(
                "version {} is not supported: this windlass reads version 1",
                self.version
            )));
        }
        let stages = match self.stages {
            Some(stages) => self::stages(stages)?,
            None => vec![RawStage::default().validate(ONLY_STAGE.parse()?)?],
        };
        let discover = self.discover.0.into_iter();
        let discover: Vec<_> = discover
            .map(|raw| raw.validate(&stages))
            .collect::<Result<_, _>>()?;
        let several = stages.iter().find(|stage| stage.rule.is_some());
        if let Some(stage) = several.filter(|_| !discover.is_empty()) {
            return Err(invalid(format_args!(
                "`discover` finds applications of one cluster a stage, and stage `{}` has `clusters`",
                stage.name
            )));
        }
        if self.applications.is_none() && discover.is_empty() {
            return Err(invalid(
                "it names no applications: add `applications:`, or `discover: flux`",
            ));
        }
        let rules = self.applications.unwrap_or_default();
        let rules = rules
            .into_iter()
            .map(|raw| raw.unguarded().validate(&stages))
            .collect::<Result<_, _>>()?;
        Ok(Catalog {
            stages,
            health,
            rules,
            discover,
        })
    }
}

/// The stage of a file that names none.
const ONLY_STAGE: &str = "live";

fn stages(raw: Ordered<RawStage>) -> Result<Vec<Stage>, Invalid> {
    let mut stages: Vec<Stage> = Vec::new();
    for (name, raw) in raw.0 {
        let name: Name = name
            .parse()
            .map_err(|Invalid(why)| invalid(format_args!("stage {why}")))?;
        for earlier in &raw.after {
            if !stages.iter().any(|stage| stage.name == *earlier) {
                return Err(invalid(format_args!(
                    "stage `{name}` comes after `{earlier}`, which is not a stage above it"
                )));
            }
        }
        stages.push(raw.validate(name)?);
    }
    if stages.is_empty() {
        return Err(invalid("`stages` is empty: name at least one"));
    }
    Ok(stages)
}

impl RawStage {
    fn validate(self, name: Name) -> Result<Stage, Invalid> {
        let gates = self.gates.validate(&name)?;
        if let Some(rule) = &self.clusters {
            rule.check(&name)?;
            let by = self.reconcile.as_ref().map(|raw| raw.by);
            if rule.has_waves() && !matches!(by, None | Some(RawReconciler::Windlass)) {
                return Err(invalid(format_args!(
                    "stage `{name}` has `waves`, and windlass applies nothing there: leave them out"
                )));
            }
            if self.cluster.is_some() {
                return Err(invalid(format_args!(
                    "stage `{name}` has both `cluster` and `clusters`: keep one"
                )));
            }
        }
        let window = match &self.rollback_window {
            Some(text) => duration("rollbackWindow", text)?,
            None => ROLLBACK_WINDOW,
        };
        Ok(Stage {
            name,
            rollback: (self.rollback == RollbackPolicy::Auto).then_some(window),
            cluster: self.cluster.unwrap_or_else(|| LOCAL.into()),
            rule: self.clusters,
            clusters: Vec::new(),
            after: self.after,
            merge: self.merge,
            approvals: gates.approvals,
            approvers: gates.approvers,
            soak: gates.soak,
            calendar: gates.calendar,
            break_glass: gates.break_glass,
            reconcile: self
                .reconcile
                .map(RawReconcile::validate)
                .unwrap_or_default(),
            notify: self
                .notify
                .into_iter()
                .map(|raw| Subscription {
                    channel: raw.to,
                    on: raw.on,
                })
                .collect(),
        })
    }
}

impl RawReconcile {
    fn validate(self) -> Reconciler {
        let named = |namespace: &str| Named {
            cluster: self.cluster.clone(),
            namespace: self
                .namespace
                .as_deref()
                .map_or(namespace.into(), unguarded),
            name: self
                .name
                .as_deref()
                .map_or("{application}-{stage}".into(), unguarded),
        };
        match self.by {
            RawReconciler::Windlass => Reconciler::Windlass,
            RawReconciler::ArgoCd => Reconciler::ArgoCd(named("argocd")),
            RawReconciler::Flux => Reconciler::Flux(named("flux-system")),
        }
    }
}

impl RawHealth {
    fn validate(self) -> Result<HealthRule, Invalid> {
        let read = |text: Option<String>| {
            let parsed = text
                .map(|text| Condition::parse(&unguarded(&text)))
                .transpose();
            parsed.map_err(|Invalid(why)| invalid(format_args!("health of {}: {why}", self.kind)))
        };
        // Kinds of Kubernetes have windlass's own health rules, which are the same for everybody.
        let own = self.group.contains('.')
            && (!self.group.ends_with(".k8s.io") || self.group.starts_with("gateway."));
        if !own {
            return Err(invalid(format_args!(
                "health of {}: `{}` is not a group of custom kinds",
                self.kind, self.group
            )));
        }
        let (progressing, failed, healthy) = (
            read(self.progressing)?,
            read(self.failed)?,
            read(self.healthy)?,
        );
        Ok(HealthRule {
            group: self.group,
            kind: self.kind,
            progressing,
            failed,
            healthy,
        })
    }
}

impl RawRule {
    fn validate(self, stages: &[Stage]) -> Result<Rule, Invalid> {
        let pattern = Pattern::parse(&self.path)?;
        self.check_name_and_stage(&pattern, stages)?;
        for rule in self.ignore.iter().chain(&self.take) {
            rule.check().map_err(|Invalid(why)| invalid(why))?;
        }
        let is_outside =
            |chart: &String| chart.starts_with('/') || chart.split('/').any(|part| part == "..");
        if self.chart.as_ref().is_some_and(is_outside) {
            return Err(invalid(format_args!(
                "`{}`: a chart's path is relative to the repository's root",
                self.path
            )));
        }
        let health_timeout = self
            .health_timeout
            .as_deref()
            .map(|text| duration("healthTimeout", text))
            .transpose()?;
        let rule = Rule {
            name: self.name,
            stage: self.stage,
            pattern,
            exclude: self.exclude,
            namespace: self.namespace,
            images: self.images.0,
            chart: self.chart,
            helm: self.helm.validate()?,
            fields: FieldRules {
                ignore: self.ignore,
                take: self.take,
            },
            drift: self.drift,
            depends_on: self.depends_on,
            health_timeout: health_timeout.unwrap_or(HEALTH_TIMEOUT),
        };
        rule.check_placeholders()?;
        Ok(rule)
    }

    /// A path tells the application and the stage, or the rule does.
    fn check_name_and_stage(&self, pattern: &Pattern, stages: &[Stage]) -> Result<(), Invalid> {
        let (path, placeholders) = (&self.path, pattern.placeholders());
        let of_path = |name| placeholders.contains(name);
        match &self.name {
            Some(name) if of_path(APPLICATION) && !name.contains('{') => {
                return Err(invalid(format_args!(
                    "`{path}` has both `name: {name}` and `{{application}}`: keep one"
                )));
            }
            None if !of_path(APPLICATION) => {
                return Err(invalid(format_args!(
                    "`{path}` names no application: add `name:` or `{{application}}`"
                )));
            }
            _ => {}
        }
        match &self.stage {
            Some(stage) if of_path(STAGE) => Err(invalid(format_args!(
                "`{path}` has both `stage: {stage}` and `{{stage}}`: keep one"
            ))),
            Some(stage) if !stages.iter().any(|known| known.name == *stage) => Err(invalid(
                format_args!("`{path}`: `stage: {stage}` is none of the stages"),
            )),
            None if !of_path(STAGE) && stages.len() > 1 => Err(invalid(format_args!(
                "`{path}` has no `{{stage}}`: add `stage: {}`, or another of the stages",
                stages[0].name
            ))),
            _ => Ok(()),
        }
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, Invalid> {
    sync::duration(text)
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| {
            invalid(format_args!(
                "`{key}: {text}` is not a duration: write 90s, 30m or 2h"
            ))
        })
}
