//! Listing and deleting groups, and handing on what else is asked for.

use std::collections::BTreeMap;

use ottla::{Admin, Client, ErrorKind, GroupListing, ListGroups};
use serde_json::{Value, json};

use super::args::Groups;
use super::{describe, forget, reset};
use crate::args::Common;
use crate::diagnostics::complain;
use crate::failure::{Failure, Result, chain};
use crate::settings::{Environment, Settings};
use crate::table::{Table, line, print};

/// A client that a broker has answered.
pub(super) struct Reached {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) quiet: bool,
}

pub(crate) async fn run(command: Groups, common: Common, environment: &Environment) -> Result<()> {
    let common = common.merge(command.common().clone());
    let settings = Settings::of(&common, environment)?;
    let client = settings.client()?;
    settings.reach(&client).await?;
    let admin = client.admin();
    let reached = Reached {
        client,
        settings,
        quiet: common.verbosity.quiet,
    };
    match command {
        Groups::List {
            states,
            types,
            json,
            ..
        } => {
            let which = ListGroups::new().states(states).types(types);
            list(&admin, which, json).await
        }
        Groups::Describe { group, json, .. } => describe::run(&reached, &group, json).await,
        Groups::Delete { groups, json, .. } => delete(&admin, groups, json).await,
        Groups::ResetOffsets {
            group,
            topics,
            to,
            dry_run,
            json,
            ..
        } => reset::run(&reached, &group, &topics, to, dry_run, json).await,
        Groups::DeleteOffsets {
            group,
            topics,
            json,
            ..
        } => forget::run(&reached, &group, &topics, json).await,
    }
}

async fn list(admin: &Admin, which: ListGroups, json: bool) -> Result<()> {
    let listings = admin.list_groups(which).await?;
    print(&match json {
        true => line(&listings.groups.iter().map(listing).collect()),
        false => table(&listings.groups),
    })?;
    for (broker, error) in &listings.failures {
        let why = chain(error);
        complain(format_args!(
            "cannot list the groups of broker {broker}: {why}"
        ));
    }
    match listings.failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::Partial),
    }
}

fn listing(group: &GroupListing) -> Value {
    json!({
        "group": group.group_id,
        "state": group.state.name(),
        "type": group.group_type.name(),
        "protocol_type": group.protocol_type,
        "coordinator": group.coordinator,
    })
}

fn table(groups: &[GroupListing]) -> String {
    let mut table = Table::new(["GROUP", "STATE", "TYPE", "PROTOCOL", ">COORDINATOR"]);
    for group in groups {
        table.row([
            &*group.group_id,
            group.state.name(),
            group.group_type.name(),
            or_dash(&group.protocol_type),
            &group.coordinator.to_string(),
        ]);
    }
    table.to_string()
}

/// What is empty in an answer, and is not to look as if a column was missing.
pub(super) fn or_dash(text: &str) -> &str {
    match text {
        "" => "-",
        text => text,
    }
}

async fn delete(admin: &Admin, groups: Vec<String>, json: bool) -> Result<()> {
    let outcomes: BTreeMap<_, _> = admin.delete_groups(groups).await;
    let good = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
    let deleted: Vec<&String> = good.map(|(group, _)| group).collect();
    print(&match json {
        true => line(&json!({ "deleted": deleted })),
        false => deleted
            .iter()
            .map(|group| format!("deleted {group}\n"))
            .collect(),
    })?;
    let mut status = Ok(());
    for (group, outcome) in &outcomes {
        let Err(error) = outcome else { continue };
        let why = chain(error);
        match error.kind() {
            ErrorKind::UnknownGroup { .. } => complain(format_args!("{why}")),
            _ => complain(format_args!("cannot delete group {group}: {why}")),
        }
        status = Err(Failure::Partial);
    }
    status
}
