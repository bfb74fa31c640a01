//! The limits of the API: what each caller has used of them, who asks although they are over, and
//! what the App asked for.
//!
//! The numbers are GitHub's (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api,
//! docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api); a story may
//! lower them. They hold for the App and for each installation, whatever token is used; users are
//! counted and never refused, since stories act through them. Windows begin with the first request
//! after the one before has ended.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// Who asks, as limits tell them apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// The App itself, by a JWT.
    App,
    /// An installation, by any of its tokens.
    Installation(u64),
    User(String),
    Nobody,
}

impl Caller {
    /// Whether this is the App or one of its installations.
    pub fn is_app(&self) -> bool {
        matches!(self, Self::App | Self::Installation(_))
    }
}

/// How much is allowed.
#[derive(Clone)]
pub struct Limits {
    /// REST requests in an hour.
    pub core_per_hour: u64,
    /// GraphQL points in an hour; a document costs one.
    pub graphql_per_hour: u64,
    /// Requests at one time, REST and GraphQL together.
    pub in_flight: u64,
    /// REST points in a minute: a read costs one, a write five.
    pub points_per_minute: u64,
    /// GraphQL points in a minute: a query costs one, a mutation five.
    pub graphql_points_per_minute: u64,
    /// Requests that create content, in a minute.
    pub content_per_minute: u64,
    /// Requests that create content, in an hour.
    pub content_per_hour: u64,
    /// Seconds that an hour lasts.
    pub hour: i64,
    /// Seconds that a minute lasts.
    pub minute: i64,
    /// Milliseconds after a refusal in which requests are refused as well, and are no violations:
    /// they may have been under way.
    pub grace: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            core_per_hour: 5000,
            graphql_per_hour: 5000,
            in_flight: 100,
            points_per_minute: 900,
            graphql_points_per_minute: 2000,
            content_per_minute: 80,
            content_per_hour: 500,
            hour: 3600,
            minute: 60,
            grace: 250,
        }
    }
}

/// What a caller has used.
#[derive(Clone, Default)]
pub struct Used {
    pub core: u64,
    pub graphql: u64,
    pub points: u64,
    pub graphql_points: u64,
    pub content_in_minute: u64,
    pub content_in_hour: u64,
    pub in_flight: u64,
    /// Seconds since the epoch at which the windows began.
    hour_from: i64,
    minute_from: i64,
    refused: Vec<Refused>,
}

/// What a caller was refused.
#[derive(Clone)]
struct Refused {
    limit: Limit,
    since: Timestamp,
    /// When it may ask again, in seconds since the epoch.
    until: i64,
}

/// Which limit is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    Core,
    Graphql,
    InFlight,
    Points,
    GraphqlPoints,
    Content,
}

impl Limit {
    /// Whether it is one of the hourly ones, which have their own words.
    pub fn is_primary(self) -> bool {
        matches!(self, Self::Core | Self::Graphql)
    }

    /// Whether a request counts against it.
    fn meets(self, cost: &Cost) -> bool {
        match self {
            Self::Core => !cost.graphql && !cost.free,
            Self::Points => !cost.graphql,
            Self::Graphql | Self::GraphqlPoints => cost.graphql,
            Self::InFlight => true,
            Self::Content => cost.content,
        }
    }
}

/// What a request costs.
pub struct Cost {
    pub graphql: bool,
    pub write: bool,
    /// Whether it creates content.
    pub content: bool,
    /// Whether the hourly limit passes it over, as it does `GET /rate_limit`.
    pub free: bool,
}

/// A request that is over a limit.
pub struct Over {
    pub limit: Limit,
    /// Seconds until it may be sent again.
    pub retry_after: i64,
}

/// A request of the App or of one of its installations, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub method: String,
    /// Below `/api/v3`, or `/graphql`: names and numbers are `*`, as in `/repos/*/*/pulls/*/merge`.
    pub route: String,
    /// `owner/name`, where the path has it.
    pub repository: Option<String>,
    /// Whether it writes: any method that is not safe, and GraphQL mutations; not the minting of
    /// tokens.
    pub write: bool,
    pub status: u16,
}

/// What one of the hourly limits says of itself.
pub struct Rate {
    pub limit: u64,
    pub used: u64,
    /// Seconds since the epoch.
    pub reset: i64,
}

/// The limits, and what is used of them.
#[derive(Default)]
pub struct Quota {
    pub limits: Limits,
    /// The requests of the App and its installations, oldest first; a story may clear it.
    pub counted: Vec<Counted>,
    /// What the App sent before it might ask again.
    pub violations: Vec<String>,
    used: BTreeMap<Caller, Used>,
}

impl Quota {
    /// What a caller has used in the windows that run.
    pub fn used(&mut self, caller: &Caller) -> &mut Used {
        let (now, limits) = (Timestamp::now().as_second(), &self.limits);
        let used = self.used.entry(caller.clone()).or_default();
        if now >= used.hour_from + limits.hour {
            (used.core, used.graphql, used.content_in_hour) = (0, 0, 0);
            used.hour_from = now;
        }
        if now >= used.minute_from + limits.minute {
            (used.points, used.graphql_points, used.content_in_minute) = (0, 0, 0);
            used.minute_from = now;
        }
        used.refused.retain(|refused| now < refused.until);
        used
    }

    /// What an installation has used.
    pub fn used_by(&mut self, installation: u64) -> &mut Used {
        self.used(&Caller::Installation(installation))
    }

    /// Forgets what was used and refused, by everybody.
    pub fn reset(&mut self) {
        self.used.clear();
    }

    /// Counts a request, unless it is over a limit. `what` names it among the violations.
    pub fn admit(&mut self, caller: &Caller, cost: &Cost, what: &str) -> Result<(), Over> {
        let limits = self.limits.clone();
        let used = self.used(caller);
        let now = Timestamp::now();
        if caller.is_app() {
            if let Some(refused) = used.refused.iter().find(|one| one.limit.meets(cost)) {
                let early = refused.until - now.as_second();
                let limit = refused.limit;
                if now > refused.since + SignedDuration::from_millis(limits.grace) {
                    self.violations
                        .push(format!("{what}: {early} s too early after {limit:?}"));
                }
                return Err(Over {
                    limit,
                    retry_after: early,
                });
            }
            if let Some((limit, until)) = used.over(cost, &limits) {
                used.refused.push(Refused {
                    limit,
                    since: now,
                    until,
                });
                return Err(Over {
                    limit,
                    retry_after: until - now.as_second(),
                });
            }
        }
        used.spend(cost);
        Ok(())
    }

    /// Takes a request out of the hourly count: an answer of 304 is none.
    pub fn refund(&mut self, caller: &Caller, graphql: bool) {
        let used = self.used(caller);
        let count = if graphql {
            &mut used.graphql
        } else {
            &mut used.core
        };
        *count = count.saturating_sub(1);
    }

    /// One of the two hourly limits of a caller.
    pub fn rate(&mut self, caller: &Caller, graphql: bool) -> Rate {
        let limits = self.limits.clone();
        let used = self.used(caller);
        let (limit, count) = if graphql {
            (limits.graphql_per_hour, used.graphql)
        } else {
            (limits.core_per_hour, used.core)
        };
        Rate {
            limit,
            used: count.min(limit),
            reset: used.hour_from + limits.hour,
        }
    }
}

impl Used {
    /// The limit that a further request would be over, and the second at which it ends.
    fn over(&self, cost: &Cost, limits: &Limits) -> Option<(Limit, i64)> {
        let (hour, minute) = (
            self.hour_from + limits.hour,
            self.minute_from + limits.minute,
        );
        let (primary, count, most) = if cost.graphql {
            (Limit::Graphql, self.graphql, limits.graphql_per_hour)
        } else {
            (Limit::Core, self.core, limits.core_per_hour)
        };
        let (secondary, points, most_points) = if cost.graphql {
            (
                Limit::GraphqlPoints,
                self.graphql_points,
                limits.graphql_points_per_minute,
            )
        } else {
            (Limit::Points, self.points, limits.points_per_minute)
        };
        if !cost.free && count >= most {
            Some((primary, hour))
        } else if self.in_flight > limits.in_flight {
            Some((Limit::InFlight, minute))
        } else if points + cost.points() > most_points {
            Some((secondary, minute))
        } else if cost.content && self.content_in_minute >= limits.content_per_minute {
            Some((Limit::Content, minute))
        } else if cost.content && self.content_in_hour >= limits.content_per_hour {
            Some((Limit::Content, hour))
        } else {
            None
        }
    }

    fn spend(&mut self, cost: &Cost) {
        let counted = u64::from(!cost.free);
        if cost.graphql {
            self.graphql += counted;
            self.graphql_points += cost.points();
        } else {
            self.core += counted;
            self.points += cost.points();
        }
        self.content_in_minute += u64::from(cost.content);
        self.content_in_hour += u64::from(cost.content);
    }
}

impl Cost {
    fn points(&self) -> u64 {
        if self.write { 5 } else { 1 }
    }
}
