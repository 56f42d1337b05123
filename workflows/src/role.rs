//! Who may do what: one total function, read by every door.
//!
//! `docs/roles.md` shows it as a table for people; a test holds the two together over all roles and actions.

use crate::words::words;

words! {
    /// What a person or program may be with us.
    Role, "a role" {
        /// May do everything.
        Admin = "admin",
        /// Leads agents.
        Supervisor = "supervisor",
        /// Answers customers.
        Agent = "agent",
        /// Fixes problems; never writes to a customer.
        Engineer = "engineer",
        /// Another program.
        Api = "api",
    }
}

words! {
    /// What somebody may want to do.
    Action, "an action" {
        /// Read conversations and customers.
        Read = "read",
        /// Write to a customer, or begin a conversation.
        WriteToCustomer = "write_to_customer",
        /// Write an internal note.
        WriteNote = "write_note",
        /// Move a conversation along: hand off, snooze, tag, resolve, reopen.
        WorkConversation = "work_conversation",
        /// Add customers, and change what is known of them.
        EditCustomer = "edit_customer",
        /// Give a conversation to somebody.
        Assign = "assign",
        /// Correct what was judged, such as the severity.
        Override = "override",
        /// Add and change agents and teams.
        EditStaff = "edit_staff",
        /// See who did what.
        ReadAudit = "read_audit",
        /// Look inside the running system: entities, timers, activities, the journal.
        ReadSystem = "read_system",
        /// See, retry and discard dead letters.
        HandleDeadLetters = "handle_dead_letters",
        /// Act on the running system: the clock, entities, activities.
        OperateSystem = "operate_system",
        /// Make and revoke credentials.
        ManageTokens = "manage_tokens",
        /// Open a long-running case for a conversation.
        Escalate = "escalate",
        /// Work on a case: notes, status, expected window, root cause, fix.
        WorkResolution = "work_resolution",
        /// Change the tenant's settings.
        EditPolicy = "edit_policy",
        /// See figures of how the work goes.
        ReadAnalytics = "read_analytics",
        /// Add tenants.
        ManageTenants = "manage_tenants",
        /// Erase a person.
        Erase = "erase",
        /// Say where events are sent to.
        ManageEndpoints = "manage_endpoints",
    }
}

/// An answer to "may they".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Yes.
    Always,
    /// With what is theirs: their own conversations and record, their own team's, their own cases.
    OwnOnly,
    /// With what their own teams did.
    TeamOnly,
    /// No.
    Never,
}

/// Whether `role` may do `action`.
pub const fn may(role: Role, action: Action) -> Permission {
    use Permission::{Always, Never, OwnOnly, TeamOnly};
    //                                  admin, supervisor, agent, engineer, api
    let row = match action {
        Action::Read => [Always, Always, Always, OwnOnly, Always],
        Action::WriteToCustomer => [Always, Always, Always, Never, Always],
        Action::WriteNote => [Always, Always, Always, Always, Always],
        Action::WorkConversation => [Always, Always, Always, Never, Always],
        Action::EditCustomer => [Always, Always, Always, Never, Always],
        Action::Assign => [Always, Always, OwnOnly, Never, Never],
        Action::Override => [Always, Always, OwnOnly, Never, Never],
        Action::EditStaff => [Always, Always, OwnOnly, Never, Never],
        Action::ReadAudit => [Always, Always, OwnOnly, TeamOnly, Never],
        Action::ReadSystem => [Always, Never, Never, Always, Never],
        Action::HandleDeadLetters => [Always, Always, Never, Never, Never],
        Action::OperateSystem => [Always, Never, Never, Never, Never],
        Action::ManageTokens => [Always, Never, Never, Never, Never],
        Action::Escalate => [Always, Always, Always, Never, Always],
        Action::WorkResolution => [Always, Always, Always, Always, Always],
        Action::EditPolicy => [Always, Always, Never, Never, Never],
        Action::ReadAnalytics => [Always, Always, OwnOnly, TeamOnly, Never],
        Action::ManageTenants => [Always, Never, Never, Never, Never],
        Action::Erase => [Always, Never, Never, Never, Never],
        Action::ManageEndpoints => [Always, Always, Never, Never, Never],
    };
    match role {
        Role::Admin => row[0],
        Role::Supervisor => row[1],
        Role::Agent => row[2],
        Role::Engineer => row[3],
        Role::Api => row[4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/roles.md");

    /// The cells of the document's table after the action's own, by action.
    fn documented(action: Action) -> Vec<String> {
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let first = format!("| `{action}` |");
        let line = DOCUMENT.lines().find(|line| line.starts_with(&first));
        let line = line.unwrap_or_else(|| panic!("{action} is not in the table"));
        cells(line)[3..3 + Role::ALL.len()].to_vec()
    }

    #[test]
    fn the_documents_table_says_what_the_function_says_for_every_role_and_action() {
        let head = DOCUMENT.lines().find(|line| line.starts_with("| action |")).unwrap();
        for role in Role::ALL {
            assert!(head.contains(&format!("| {role} ")), "{role} has no column");
        }
        for action in Action::ALL {
            for (role, told) in Role::ALL.iter().zip(documented(*action)) {
                let expected = match may(*role, *action) {
                    Permission::Always => "yes",
                    Permission::OwnOnly => "own",
                    Permission::TeamOnly => "own team",
                    Permission::Never => "-",
                };
                assert_eq!(told, expected, "{role}, {action}");
            }
        }
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, Action::ALL.len(), "the table has a row that is no action");
    }

    #[test]
    fn an_engineer_never_writes_to_a_customer() {
        assert_eq!(may(Role::Engineer, Action::WriteToCustomer), Permission::Never);
        assert_eq!(may(Role::Engineer, Action::WriteNote), Permission::Always);
    }

    #[test]
    fn an_admin_may_do_everything_and_nobody_else_makes_tokens() {
        for action in Action::ALL {
            assert_eq!(may(Role::Admin, *action), Permission::Always, "{action}");
        }
        for role in Role::ALL.iter().filter(|role| **role != Role::Admin) {
            assert_eq!(may(*role, Action::ManageTokens), Permission::Never, "{role}");
        }
    }

    #[test]
    fn a_supervisor_sees_dead_letters_and_nothing_else_of_the_system() {
        assert_eq!(may(Role::Supervisor, Action::HandleDeadLetters), Permission::Always);
        assert_eq!(may(Role::Supervisor, Action::ReadSystem), Permission::Never);
        assert_eq!(may(Role::Supervisor, Action::OperateSystem), Permission::Never);
    }

    #[test]
    fn an_agent_assigns_what_is_theirs_and_a_program_nothing() {
        assert_eq!(may(Role::Agent, Action::Assign), Permission::OwnOnly);
        assert_eq!(may(Role::Api, Action::Assign), Permission::Never);
    }
}
