//! Which groups there are: every broker knows those that it coordinates, so every one is asked.
//!
//! # References
//! - KIP-518 (states), KIP-848 (types)

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ottla_codec::messages::list_groups::{ListGroupsRequest, ListedGroup};
use ottla_codec::{ErrorCode, Message};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Admin;
use crate::client::{ADMIN, Target};
use crate::error::{ConnectionFault, Error, ErrorKind, Result};

/// From this version on, brokers say which state a group is in (KIP-518).
const STATES: i16 = 4;
/// From this version on, brokers say which protocol a group follows (KIP-848).
const TYPES: i16 = 5;

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members; it may have offsets.
    Empty,
    /// Its members are joining anew.
    PreparingRebalance,
    /// Its members have joined and wait for what their leader assigns.
    CompletingRebalance,
    /// Its members have what they were assigned.
    Stable,
    /// The coordinator is working out an assignment (KIP-848).
    Assigning,
    /// Members are on their way to what they were assigned (KIP-848).
    Reconciling,
    /// It lacks something that it needs before anything can be assigned (KIP-1071).
    NotReady,
    /// It is gone, or was never there.
    Dead,
    /// A state that is newer than this crate, or a broker too old to say: before 2.6 in lists.
    Unknown,
}

impl GroupState {
    const ALL: [Self; 8] = [
        Self::Empty,
        Self::PreparingRebalance,
        Self::CompletingRebalance,
        Self::Stable,
        Self::Assigning,
        Self::Reconciling,
        Self::NotReady,
        Self::Dead,
    ];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::NotReady => "NotReady",
            Self::Dead => "Dead",
            Self::Unknown => "Unknown",
        }
    }

    pub(super) fn of(name: &str) -> Self {
        named(&Self::ALL, Self::name, name).unwrap_or(Self::Unknown)
    }
}

/// Which protocol a group follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GroupType {
    /// Members assign: one of them, for all.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
    /// Members share partitions (KIP-932).
    Share,
    /// Members run a topology of Kafka Streams (KIP-1071).
    Streams,
    /// A type that is newer than this crate.
    Unknown,
}

impl GroupType {
    const ALL: [Self; 4] = [Self::Classic, Self::Consumer, Self::Share, Self::Streams];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Unknown => "unknown",
        }
    }

    fn of(name: &str) -> Self {
        named(&Self::ALL, Self::name, name).unwrap_or(Self::Unknown)
    }
}

fn named<T: Copy>(all: &[T], name_of: impl Fn(T) -> &'static str, name: &str) -> Option<T> {
    let mut all = all.iter().copied();
    all.find(|&one| name_of(one).eq_ignore_ascii_case(name))
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for GroupState {
    type Err = Error;

    /// Reads Kafka's name for a state, in upper or lower case.
    fn from_str(name: &str) -> Result<Self> {
        named(&Self::ALL, Self::name, name).ok_or_else(|| not_one_of("a group's state", name))
    }
}

impl FromStr for GroupType {
    type Err = Error;

    /// Reads Kafka's name for a type, in upper or lower case.
    fn from_str(name: &str) -> Result<Self> {
        named(&Self::ALL, Self::name, name).ok_or_else(|| not_one_of("a group's type", name))
    }
}

fn not_one_of(what: &str, name: &str) -> Error {
    Error::invalid_argument(format!("{name:?} is not {what}"))
}

/// Which groups to list. By default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {
    states: Vec<GroupState>,
    types: Vec<GroupType>,
}

impl ListGroups {
    /// All groups.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those in one of these states. Needs brokers from 2.6 on. Default: in any.
    #[must_use]
    pub fn states(self, states: impl IntoIterator<Item = GroupState>) -> Self {
        Self {
            states: states.into_iter().collect(),
            ..self
        }
    }

    /// Only those of one of these types. Brokers that know of no types have classic groups only.
    /// Default: of any.
    #[must_use]
    pub fn types(self, types: impl IntoIterator<Item = GroupType>) -> Self {
        Self {
            types: types.into_iter().collect(),
            ..self
        }
    }

    /// The version to list in: not every one says what state a group is in.
    fn version(&self, versions: &ottla_connection::Versions) -> Result<i16> {
        let mut own = ListGroupsRequest::VERSIONS;
        if self.states.is_empty() {
            return Ok(versions.pick::<ListGroupsRequest>(own)?);
        }
        own.min = STATES;
        let picked = versions.pick::<ListGroupsRequest>(own);
        picked.map_err(|error| Error::unsupported("listing groups by state", &error))
    }

    fn request(&self, version: i16) -> ListGroupsRequest {
        let types = self.types.iter().filter(|_| version >= TYPES);
        ListGroupsRequest {
            states_filter: self.states.iter().map(ToString::to_string).collect(),
            types_filter: types.map(ToString::to_string).collect(),
            ..Default::default()
        }
    }

    /// Brokers ignore a filter by names that they do not know.
    fn matches(&self, listing: &GroupListing) -> bool {
        (self.states.is_empty() || self.states.contains(&listing.state))
            && (self.types.is_empty() || self.types.contains(&listing.group_type))
    }
}

/// One group in a list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// The group's id.
    pub group_id: String,
    /// What its members speak among each other: `consumer`, or `connect` for instance; empty if it never
    /// had a member.
    pub protocol_type: String,
    /// Its state; [`GroupState::Unknown`] from brokers before 2.6.
    pub state: GroupState,
    /// Its type.
    pub group_type: GroupType,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

impl GroupListing {
    fn new(group: ListedGroup, version: i16, coordinator: i32) -> Self {
        Self {
            group_id: group.group_id,
            protocol_type: group.protocol_type,
            state: GroupState::of(&group.group_state),
            group_type: match version {
                TYPES.. => GroupType::of(&group.group_type),
                _ => GroupType::Classic,
            },
            coordinator,
        }
    }
}

/// The groups of a cluster, as far as its brokers could be asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupListings {
    /// The groups, in order of their ids.
    pub groups: Vec<GroupListing>,
    /// The brokers that could not be asked, and why. The groups that they coordinate are missing.
    pub failures: BTreeMap<i32, Error>,
}

impl GroupListings {
    /// The groups, if no broker is missing.
    ///
    /// # Errors
    ///
    /// Why the first of the missing brokers is missing.
    pub fn complete(self) -> Result<Vec<GroupListing>> {
        match self.failures.into_values().next() {
            Some(error) => Err(error),
            None => Ok(self.groups),
        }
    }
}

impl Admin {
    /// Lists the groups that all brokers coordinate.
    ///
    /// ```
    /// # async fn f(admin: ottla::Admin) -> ottla::Result<()> {
    /// use ottla::{GroupState, ListGroups};
    ///
    /// let without_members = ListGroups::new().states([GroupState::Empty]);
    /// for group in admin.list_groups(without_members).await?.complete()? {
    ///     println!("{}", group.group_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When no broker could be asked. [`ErrorKind::Unsupported`] if states are asked for and brokers are
    /// too old to know them.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    #[doc(alias = "listConsumerGroups")]
    pub async fn list_groups(&self, which: ListGroups) -> Result<GroupListings> {
        let deadline = self.deadline();
        let cluster = self.describe_cluster().await?;
        let mut asking = JoinSet::new();
        for broker in cluster.brokers {
            let (admin, which) = (self.clone(), which.clone());
            asking.spawn(async move {
                let listed = admin.list_groups_of(broker.id, &which, deadline).await;
                (broker.id, listed)
            });
        }
        let listed = asking.join_all().await;
        let brokers = listed.len();
        let mut failures = BTreeMap::new();
        // A group that moves meanwhile may be on two lists.
        let mut groups = BTreeMap::new();
        for (broker, listed) in listed {
            match listed {
                Ok(listed) => groups.extend(listed.into_iter().map(|g| (g.group_id.clone(), g))),
                Err(error) => drop(failures.insert(broker, error)),
            }
        }
        let listings = GroupListings {
            groups: groups.into_values().collect(),
            failures,
        };
        if listings.failures.len() < brokers {
            return Ok(listings);
        }
        // Nobody has answered; with no brokers there is nothing to tell but that.
        listings.complete().and_then(|_| Err(nobody()))
    }

    async fn list_groups_of(
        &self,
        node: i32,
        which: &ListGroups,
        deadline: Instant,
    ) -> Result<Vec<GroupListing>> {
        self.core
            .retrying("listing groups", deadline, || async move {
                let deadline = self.core.request_deadline(deadline);
                let target = Target::Node(node);
                let connection = target.connection(&self.core.pool, ADMIN, deadline).await?;
                let version = which.version(connection.versions())?;
                let request = which.request(version);
                let response = connection.request(&request, version, deadline).await?;
                match ErrorCode::from_code(response.error_code) {
                    ErrorCode::None => {}
                    code => return Err(Error::broker("ListGroups", code, None)),
                }
                let groups = response.groups.into_iter();
                Ok(groups
                    .map(|group| GroupListing::new(group, version, node))
                    .filter(|listing| which.matches(listing))
                    .collect())
            })
            .await
    }
}

fn nobody() -> Error {
    let message = "the cluster names no broker".to_owned();
    let fault = ConnectionFault::Unreachable;
    ErrorKind::Connection { fault, message }.into()
}
