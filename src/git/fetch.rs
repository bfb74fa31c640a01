//! Fetching from a remote: with credentials for this fetch only, the newest commits
//! only, and pruning branches that the remote no longer has.

use std::any::Any;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gix::bstr::{BString, ByteSlice as _};
use gix::credentials::helper::Action;
use gix::credentials::protocol::Outcome as Credentials;
use gix::progress::Discard;
use gix::protocol::transport::client::blocking_io::{Transport, http};
use gix::refs::transaction::{PreviousValue, RefEdit};
use gix::remote::{Direction, fetch};
use reqwest::dns::{Name, Resolve, Resolving};
use secrecy::{ExposeSecret as _, SecretString};

use super::Remote;
use crate::domain::FOREIGN_IDS;
use crate::outgoing::{Outgoing, advice};
use crate::traces;

/// The repository's objects have ids that windlass does not support.
#[derive(Debug, thiserror::Error)]
#[error("the repository has {FOREIGN_IDS}")]
pub struct ForeignIds;

type ConfigureClient = Box<
    dyn FnMut(reqwest::blocking::ClientBuilder) -> gix::Result<reqwest::blocking::ClientBuilder>
        + Send
        + Sync,
>;

/// What is fetched.
pub(super) struct Wanted<'a> {
    pub(super) refspecs: &'a [String],
    /// The commits of each history, counted from its tip.
    pub(super) depth: NonZeroU32,
    /// The refspecs cover everything that the mirror follows, so branches that the remote no longer
    /// has are deleted.
    pub(super) all: bool,
}

/// Fetches, unless everything is as it was. The file `shallow` has to tell the truth: by it and the
/// refs, the remote works out what is already here.
pub(super) fn fetch_into(
    repo: &gix::Repository,
    outgoing: &Outgoing,
    remote: &Remote<'_>,
    wanted: &Wanted<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let _span = traces::fetch(remote.url).entered();
    let fetched = fetch(repo, outgoing, remote, wanted, stop);
    fetched.map_err(|error| {
        let causes = format!("{error:#}");
        // gix's words for an id in the remote's list of refs.
        if causes.contains("hash sized 64") {
            return ForeignIds.into();
        }
        advice(remote.url, &causes).map_or(error, anyhow::Error::msg)
    })
}

fn fetch(
    repo: &gix::Repository,
    outgoing: &Outgoing,
    remote: &Remote<'_>,
    wanted: &Wanted<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let (url, token) = (remote.url, remote.token.expose_secret().to_string());
    let plain_http = url.starts_with("http://");
    let transport = transport_options(repo, outgoing, url, plain_http.then_some(token.as_str()))?;
    let specs: Vec<&str> = wanted.refspecs.iter().map(String::as_str).collect();
    let remote = repo
        .remote_at(url)?
        .with_fetch_tags(fetch::Tags::None)
        .with_refspecs(specs, Direction::Fetch)?;
    let password = (!plain_http).then_some(token);
    let mut connection = remote
        .connect(Direction::Fetch)?
        .with_credentials(move |action| Ok(credentials(action, password.as_deref())));
    if let Some(options) = transport {
        connection.set_transport_options(options);
    }
    let prepared = connection.prepare_fetch(Discard, gix::remote::ref_map::Options::default())?;
    if wanted.all {
        prune(
            repo,
            prepared
                .ref_map()
                .mappings
                .iter()
                .filter_map(|mapping| mapping.local.clone())
                .collect(),
        )?;
    }
    if prepared
        .ref_map()
        .mappings
        .iter()
        .all(|mapping| is_current(repo, mapping))
    {
        return Ok(());
    }
    // The depth also where much is here: what was merged may be a branch from long ago.
    let fetched = prepared
        .with_shallow(fetch::Shallow::DepthAtRemote(wanted.depth))
        .receive(Discard, stop)?;
    check_updates(&fetched.status)
}

/// Whether a ref is where the remote has it.
fn is_current(repo: &gix::Repository, mapping: &fetch::refmap::Mapping) -> bool {
    let here = mapping.local.as_ref().and_then(|name| {
        let found = repo.try_find_reference(name.as_slice().as_bstr()).ok()??;
        found.target().try_id().map(ToOwned::to_owned)
    });
    here.is_some() && here.as_deref() == mapping.remote.as_id()
}

/// The way to a repository that is not GitHub's App's: as whom, and through whose names.
pub struct Way<'a> {
    pub url: &'a str,
    /// The value of `Authorization`.
    pub authorization: Option<SecretString>,
    pub outgoing: &'a Outgoing,
    pub resolver: Arc<dyn Resolve>,
}

/// reqwest's builder takes no trait object.
struct Names(Arc<dyn Resolve>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        self.0.resolve(name)
    }
}

type Connected<'remote, 'repo> =
    gix::remote::Connection<'remote, 'static, 'repo, Box<dyn Transport + Send>>;

impl Way<'_> {
    /// Follows no redirect.
    pub(super) fn connect<'remote, 'repo>(
        &self,
        repo: &gix::Repository,
        remote: &'remote gix::Remote<'repo>,
    ) -> anyhow::Result<Connected<'remote, 'repo>> {
        let mut transport = repo.transport_options(self.url, None)?;
        if let Some(options) = transport
            .as_mut()
            .and_then(|options| options.downcast_mut::<http::Options>())
        {
            options.follow_redirects = http::options::FollowRedirects::None;
            if let Some(value) = &self.authorization {
                let header = format!("Authorization: {}", value.expose_secret());
                options.extra_headers.push(header);
            }
            let names = Some(self.resolver.clone());
            options.backend = Some(client(self.outgoing, names)?);
        }
        let connection = remote.connect(Direction::Fetch)?;
        let mut connection = connection.with_credentials(|_| Ok(None));
        if let Some(options) = transport {
            connection.set_transport_options(options);
        }
        Ok(connection)
    }
}

/// The client of a transport, with a timeout. `names`: what resolves names; by default the system.
fn client(
    outgoing: &Outgoing,
    names: Option<Arc<dyn Resolve>>,
) -> anyhow::Result<Arc<Mutex<dyn Any + Send + Sync>>> {
    let authorities = outgoing.certificates()?;
    let configure: ConfigureClient = Box::new(move |builder| {
        let builder = builder.tls_certs_merge(authorities.clone());
        let builder = match &names {
            Some(names) => builder.dns_resolver(Arc::new(Names(names.clone()))),
            None => builder,
        };
        Ok(builder.timeout(Duration::from_secs(120)))
    });
    Ok(Arc::new(Mutex::new(http::reqwest::Options {
        configure_client: Some(configure),
        configure_request: None,
    })))
}

/// The options of the transport, with a timeout. gix sends no credentials over plain HTTP, which
/// only a sandbox on loopback uses: there `token` goes into a header.
fn transport_options(
    repo: &gix::Repository,
    outgoing: &Outgoing,
    url: &str,
    token: Option<&str>,
) -> anyhow::Result<Option<Box<dyn Any>>> {
    let mut transport = repo.transport_options(url, None)?;
    if let Some(options) = transport
        .as_mut()
        .and_then(|options| options.downcast_mut::<http::Options>())
    {
        if let Some(token) = token {
            let basic = BASE64.encode(format!("x-access-token:{token}"));
            options
                .extra_headers
                .push(format!("Authorization: Basic {basic}"));
        }
        options.backend = Some(client(outgoing, None)?);
    }
    Ok(transport)
}

fn credentials(action: Action, password: Option<&str>) -> Option<Credentials> {
    match action {
        Action::Get(context) => password.map(|password| Credentials {
            identity: gix::sec::identity::Account {
                username: "x-access-token".into(),
                password: password.into(),
                oauth_refresh_token: None,
            },
            next: context.into(),
        }),
        Action::Store(_) | Action::Erase(_) => None,
    }
}

/// Fails where a ref could not be updated.
pub(super) fn check_updates(status: &fetch::Status) -> anyhow::Result<()> {
    use fetch::refs::update::Mode;
    let (fetch::Status::NoPackReceived { update_refs, .. }
    | fetch::Status::Change { update_refs, .. }) = status;
    for update in &update_refs.updates {
        match &update.mode {
            Mode::NoChangeNeeded
            | Mode::FastForward
            | Mode::Forced
            | Mode::New
            | Mode::ImplicitTagNotSentByRemote => {}
            rejected => anyhow::bail!("a ref could not be updated: {rejected}"),
        }
    }
    Ok(())
}

/// Deletes branches that the remote no longer has, which gix does not do.
fn prune(repo: &gix::Repository, keep: BTreeSet<BString>) -> anyhow::Result<()> {
    let mut edits = Vec::new();
    for reference in repo.references()?.prefixed("refs/heads/")? {
        let reference = reference.map_err(|error| anyhow::anyhow!("{error}"))?;
        if !keep.contains(reference.name().as_bstr()) {
            edits.push(RefEdit::delete(
                reference.inner.name.clone(),
                PreviousValue::MustExistAndMatch(reference.inner.target.clone()),
            ));
        }
    }
    if !edits.is_empty() {
        repo.edit_references(edits)?;
    }
    Ok(())
}
