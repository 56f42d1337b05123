//! Who calls: bearer tokens, their roles, and what each may do.
//!
//! A token reads `tl_TENANT_SECRET`, so that its tenant is known before anything is looked up; one without that form
//! (the first admin's may be any text) belongs to the tenant `default`. Only the SHA-256 of the whole text is kept,
//! as a claim that leads to the credential. What was looked up is remembered for a few seconds.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use throughline_actors::{clock::Stopwatch, engine::Engine, order::CommandMeta};
use throughline_workflows::{
    agent::Agent,
    credential::{self, CREDENTIAL, Credential, CredentialKind},
    ids::{AgentId, ConversationId, TeamId, TenantId, TokenId},
    role::{Action, Permission, Role, may},
    team::Team,
    views::resolutions::{ResolutionRow, Resolutions},
    workflow::{By, ByKind, Cause, CauseKind},
};
use uuid::Uuid;

use super::{
    Edge,
    problem::{Kind, Problem},
    reads::Asker,
};

/// What every token begins with.
const PREFIX: &str = "tl_";
/// A first admin token that somebody made up and that is shorter than this can be guessed.
const CHOSEN_SAFE: usize = 16;
/// How long a looked-up token is good without another look.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// How many looked-up tokens are remembered.
const REMEMBERED_MAX: usize = 4096;
/// The longest token that is looked at.
const TOKEN_MAX: usize = 512;

/// Who calls, as the token says.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose data the token opens.
    pub(crate) tenant: TenantId,
    /// The credential.
    pub(crate) token_id: TokenId,
    /// What its bearer may do.
    pub(crate) role: Role,
    /// Whether it opens the whole server.
    pub(crate) operator: bool,
    /// The agent who bears it, if a person does.
    pub(crate) agent_id: Option<AgentId>,
    /// That agent's teams.
    pub(crate) teams: Vec<TeamId>,
    /// The conversations of the cases that an engineer works on.
    own_cases: BTreeSet<ConversationId>,
    name: String,
    expires_at: Option<throughline_workflows::time::Timestamp>,
}

/// How much of something a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of the tenant's.
    All,
    /// What their own teams did only.
    Team,
    /// Their own only.
    Own,
}

impl Caller {
    /// How far this caller may do `action`.
    ///
    /// # Errors
    /// 403 that names the roles which may.
    pub(crate) fn may(&self, action: Action) -> Result<Reach, Problem> {
        match may(self.role, action) {
            Permission::Always => Ok(Reach::All),
            Permission::TeamOnly => Ok(Reach::Team),
            Permission::OwnOnly => Ok(Reach::Own),
            Permission::Never => Err(self.refused(action, "")),
        }
    }

    /// That this caller may do `action` with everything.
    ///
    /// # Errors
    /// 403 that names the roles which may.
    pub(crate) fn must(&self, action: Action) -> Result<(), Problem> {
        match self.may(action)? {
            Reach::All => Ok(()),
            Reach::Team | Reach::Own => Err(self.refused(action, " beyond what is their own")),
        }
    }

    /// That this caller may do `action` with a thing that is theirs or not.
    ///
    /// # Errors
    /// 403 that names the roles which may.
    pub(crate) fn must_with(&self, action: Action, theirs: bool) -> Result<(), Problem> {
        match self.may(action)? {
            Reach::Team | Reach::Own if !theirs => Err(self.refused(action, " beyond what is their own")),
            Reach::All | Reach::Team | Reach::Own => Ok(()),
        }
    }

    /// That this caller is an operator.
    ///
    /// # Errors
    /// 403 that names the roles which may, or says that it must be one of the tenant `default`.
    pub(crate) fn must_operate(&self) -> Result<(), Problem> {
        self.must(Action::OperateSystem)?;
        if self.operator {
            return Ok(());
        }
        let detail = "Needs an operator: an admin's token of the tenant `default`.";
        Err(Problem::with(Kind::Forbidden, detail))
    }

    /// Whether what is assigned so is this caller's own.
    pub(crate) fn owns(&self, agent: Option<AgentId>, team: Option<TeamId>) -> bool {
        (agent.is_some() && agent == self.agent_id) || team.is_some_and(|team| self.teams.contains(&team))
    }

    /// Whether a conversation, assigned so, is this caller's own.
    pub(crate) fn owns_conversation(
        &self,
        conversation: ConversationId,
        agent: Option<AgentId>,
        team: Option<TeamId>,
    ) -> bool {
        self.owns(agent, team) || self.is_own_case(conversation)
    }

    /// Whether a conversation belongs to a case that this caller works on.
    pub(crate) fn is_own_case(&self, conversation: ConversationId) -> bool {
        self.own_cases.contains(&conversation)
    }

    /// The tenant that a request is about: the caller's own, or for operators the one they name.
    ///
    /// # Errors
    /// 403 for another tenant than one's own, 404 for one that does not exist.
    pub(crate) fn tenant_named(&self, edge: &Edge, named: Option<&str>) -> Result<TenantId, Problem> {
        let Some(named) = named else { return Ok(self.tenant.clone()) };
        let unknown = || Problem::unknown("tenant").field("tenant");
        let tenant: TenantId = named.parse().map_err(|_| unknown())?;
        if tenant == self.tenant {
            return Ok(tenant);
        }
        self.must_operate()?;
        if edge.has_tenant(&tenant) { Ok(tenant) } else { Err(unknown()) }
    }

    /// As which actor this caller's acts are recorded.
    pub(crate) fn by(&self) -> By {
        let kind = if self.role == Role::Api { ByKind::Service } else { ByKind::Person };
        let id = self.agent_id.map_or(self.token_id.0, |agent| agent.0);
        By { kind, id: Some(id), name: Some(self.name.clone()), via: Some("api".to_owned()) }
    }

    /// The name under which this caller writes to customers: an agent's only, never a token's.
    pub(crate) fn agent_name(&self) -> Option<String> {
        let is_an_agents = self.agent_id.is_some() && self.role != Role::Api;
        is_an_agents.then(|| self.name.clone())
    }

    /// What made an act of this caller happen.
    pub(crate) fn cause(&self) -> Cause {
        Cause { kind: CauseKind::Command, id: format!("token/{}", self.token_id) }
    }

    /// An act without an idempotency key.
    pub(crate) fn meta(&self, trace: Uuid) -> CommandMeta {
        CommandMeta { by: self.by(), cause: self.cause(), correlation: trace, idempotency: None }
    }

    fn refused(&self, action: Action, beyond: &str) -> Problem {
        let roles: Vec<_> = Role::ALL
            .iter()
            .filter(|role| may(**role, action) == Permission::Always)
            .map(|role| role.as_str())
            .collect();
        let wanted = action.as_str().replace('_', " ");
        let detail =
            format!("The role {} may not {wanted}{beyond}; needs {}.", self.role, roles.join(" or "));
        Problem::with(Kind::Forbidden, detail)
    }
}

impl FromRequestParts<Arc<Edge>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
            return Err(Problem::with(Kind::Unauthenticated, "The request carries no token."));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| (1..=TOKEN_MAX).contains(&token.len()))
            .ok_or_else(|| {
                Problem::with(Kind::Unauthenticated, "The Authorization header is not `Bearer TOKEN`.")
            })?;
        let caller = authenticate(edge, token).await?;
        if let Some(asker) = parts.extensions.get::<Asker>() {
            asker.is(&caller);
        }
        Ok(caller)
    }
}

async fn authenticate(edge: &Edge, token: &str) -> Result<Caller, Problem> {
    let hash = hash(token);
    let refused = || Problem::with(Kind::Unauthenticated, "The token is unknown, expired or revoked.");
    if let Some(caller) = edge.remembered.get(&hash) {
        let valid = caller.expires_at.is_none_or(|at| edge.engine.now() < at);
        return if valid { Ok(caller) } else { Err(refused()) };
    }
    // What is revoked while it is looked up here must not be remembered.
    let generation = edge.remembered.generation();
    let tenant = tenant_of(token).filter(|tenant| edge.has_tenant(tenant));
    let tenant = tenant.unwrap_or_else(TenantId::default_tenant);
    let owner = edge.engine.owner(&tenant, CREDENTIAL, &hash).await.map_err(Problem::unreadable)?;
    let Some(owner) = owner else { return Err(refused()) };
    let state = edge.engine.state::<Credential>(&tenant, owner).await.map_err(Problem::unreadable)?;
    let Some(facts) = state.as_ref().and_then(|(state, _)| state.valid_at(edge.engine.now())) else {
        return Err(refused());
    };
    let mut caller = Caller {
        operator: facts.kind == CredentialKind::Operator,
        tenant,
        token_id: facts.id,
        role: facts.role,
        agent_id: facts.agent_id,
        teams: Vec::new(),
        own_cases: BTreeSet::new(),
        name: facts.name.clone(),
        expires_at: facts.expires_at,
    };
    if let Some(agent) = facts.agent_id {
        let state = edge.engine.state::<Agent>(&caller.tenant, agent.0).await.map_err(Problem::unreadable)?;
        let profile = state.as_ref().and_then(|(state, _)| state.facts()).map(|facts| &facts.profile);
        let Some(profile) = profile.filter(|profile| profile.active) else {
            return Err(Problem::with(
                Kind::Unauthenticated,
                "The token's agent does not work here any more.",
            ));
        };
        caller.name.clone_from(&profile.name);
        caller.teams.clone_from(&profile.team_ids);
    }
    if caller.role == Role::Engineer {
        caller.own_cases = own_cases(edge, &caller).await?;
    }
    edge.remembered.put(hash, caller.clone(), generation);
    Ok(caller)
}

/// The conversations of the cases that an engineer works on: those of their teams.
async fn own_cases(edge: &Edge, engineer: &Caller) -> Result<BTreeSet<ConversationId>, Problem> {
    let mut teams = BTreeSet::new();
    for team in &engineer.teams {
        let state = edge.engine.state::<Team>(&engineer.tenant, team.0).await.map_err(Problem::unreadable)?;
        let facts = state.as_ref().and_then(|(state, _)| state.facts());
        teams.extend(facts.map(|facts| facts.profile.name.clone()));
    }
    let theirs =
        move |row: &ResolutionRow| row.facts().is_some_and(|facts| teams.contains(&facts.owning_team));
    let page = edge.engine.views().page::<Resolutions>(&engineer.tenant, 0, usize::MAX, theirs).await?;
    Ok(page.items.iter().filter_map(|row| row.facts()).map(|facts| facts.conversation_id).collect())
}

/// The tenant that a token names.
pub(super) fn tenant_of(token: &str) -> Option<TenantId> {
    let (tenant, _) = token.strip_prefix(PREFIX)?.split_once('_')?;
    tenant.parse().ok()
}

/// The text under which a token is known: the SHA-256 of it, in hexadecimal.
pub(crate) fn hash(token: &str) -> String {
    format!("{:x}", Sha256::digest(token.as_bytes()))
}

/// A new token of `tenant`.
pub(crate) fn new_token(engine: &Engine, tenant: &TenantId) -> String {
    let mut secret = [0; 32];
    engine.fill_random(&mut secret);
    format!("{PREFIX}{tenant}_{}", URL_SAFE_NO_PAD.encode(secret))
}

/// What was looked up lately.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Known>);

#[derive(Default)]
struct Known {
    callers: HashMap<String, (Stopwatch, Caller)>,
    /// How often everything was forgotten.
    generation: u64,
}

impl Remembered {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, hash: &str) -> Option<Caller> {
        self.known()
            .callers
            .get(hash)
            .filter(|(since, _)| since.elapsed() < REMEMBERED_FOR)
            .map(|(_, caller)| caller.clone())
    }

    /// What a look-up that begins now must give to [`Remembered::put`].
    fn generation(&self) -> u64 {
        self.known().generation
    }

    /// Remembers what was looked up, unless everything was forgotten since that began.
    fn put(&self, hash: String, caller: Caller, generation: u64) {
        let mut known = self.known();
        if known.generation != generation {
            return;
        }
        if known.callers.len() >= REMEMBERED_MAX {
            known.callers.retain(|_, (since, _)| since.elapsed() < REMEMBERED_FOR);
        }
        if known.callers.len() < REMEMBERED_MAX {
            known.callers.insert(hash, (Stopwatch::start(), caller));
        }
    }

    /// Forgets everything: a token was revoked, or an agent changed.
    pub(crate) fn clear(&self) {
        let mut known = self.known();
        known.callers.clear();
        known.generation += 1;
    }
}

/// Why the first admin token could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FirstAdminError {
    /// The text that was given cannot be a token.
    #[error("THROUGHLINE_ADMIN_TOKEN must be 1 to {TOKEN_MAX} visible ASCII characters without spaces")]
    Unfit,
    /// The text names another tenant.
    #[error(
        "THROUGHLINE_ADMIN_TOKEN has the form of a token of tenant {0}; the first admin belongs to default"
    )]
    OtherTenant(TenantId),
    /// The store cannot be read or written.
    #[error("the first admin token could not be made: {0}")]
    Store(String),
}

/// Where the first admin's token stands at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstAdmin {
    /// It was made, and is to be printed this once.
    Made(String),
    /// The text that was chosen opens the API.
    Chosen,
    /// There are tokens from an earlier start, and no text was chosen that is one of them.
    Earlier,
}

/// Makes the first admin's credential where the tenant `default` has none yet.
///
/// With `chosen` that text becomes the token; without, one is made.
///
/// # Errors
/// [`FirstAdminError`] if `chosen` cannot be a token or the store cannot be written.
pub async fn ensure_first_admin(
    engine: &Engine,
    chosen: Option<&str>,
) -> Result<FirstAdmin, FirstAdminError> {
    let tenant = TenantId::default_tenant();
    if let Some(chosen) = chosen {
        let fits = (1..=TOKEN_MAX).contains(&chosen.len()) && chosen.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            return Err(FirstAdminError::Unfit);
        }
        if chosen.len() < CHOSEN_SAFE {
            tracing::warn!(
                "THROUGHLINE_ADMIN_TOKEN has fewer than {CHOSEN_SAFE} characters: it can be guessed"
            );
        }
        if let Some(other) = tenant_of(chosen).filter(|named| *named != tenant) {
            return Err(FirstAdminError::OtherTenant(other));
        }
    }
    let store = |error: String| FirstAdminError::Store(error);
    let (_, known) = engine
        .actors(Some(&tenant), Some("credential"), None, 0, 1)
        .await
        .map_err(|error| store(error.to_string()))?;
    if known > 0 {
        let Some(chosen) = chosen else { return Ok(FirstAdmin::Earlier) };
        if engine.owner(&tenant, CREDENTIAL, &hash(chosen)).await.map_err(store)?.is_some() {
            return Ok(FirstAdmin::Chosen);
        }
        tracing::warn!(
            "THROUGHLINE_ADMIN_TOKEN sets the first admin token only, and there are tokens already: it opens nothing"
        );
        return Ok(FirstAdmin::Earlier);
    }
    let token = chosen.map_or_else(|| new_token(engine, &tenant), str::to_owned);
    let token_id = TokenId(engine.mint());
    let command = credential::Command::Create {
        token_id,
        role: Role::Admin,
        kind: CredentialKind::Operator,
        name: "first admin".to_owned(),
        agent_id: None,
        expires_at: None,
        secret_hash: hash(&token),
    };
    let meta = CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: "first start".to_owned() },
        correlation: engine.mint(),
        idempotency: None,
    };
    engine
        .send::<Credential>(&tenant, token_id.0, command, meta)
        .await
        .map_err(|error| store(error.to_string()))?;
    Ok(if chosen.is_some() { FirstAdmin::Chosen } else { FirstAdmin::Made(token) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_tenant_and_one_without_the_form_names_none() {
        assert_eq!(tenant_of("tl_acme_a_b-c").unwrap().as_str(), "acme");
        assert_eq!(tenant_of("a-secret-that-somebody-chose"), None);
        assert_eq!(tenant_of("tl_nothing"), None);
        assert_eq!(tenant_of("tl_UPPER_case"), None);
    }

    #[test]
    fn a_hash_is_sixty_four_characters_and_never_the_token() {
        let hash = hash("tl_default_secret");
        assert_eq!(hash.len(), 64);
        assert!(!hash.contains("secret"));
    }
    #[test]
    fn what_was_revoked_while_it_was_looked_up_is_not_remembered() {
        let caller = Caller {
            tenant: TenantId::default_tenant(),
            token_id: TokenId(Uuid::nil()),
            role: Role::Agent,
            operator: false,
            agent_id: None,
            teams: Vec::new(),
            own_cases: BTreeSet::new(),
            name: "laptop".to_owned(),
            expires_at: None,
        };
        let remembered = Remembered::default();
        let generation = remembered.generation();
        remembered.clear();
        remembered.put("hash".to_owned(), caller.clone(), generation);
        assert!(remembered.get("hash").is_none());
        remembered.put("hash".to_owned(), caller, remembered.generation());
        assert!(remembered.get("hash").is_some());
        remembered.clear();
        assert!(remembered.get("hash").is_none());
    }
}
