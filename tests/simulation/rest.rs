//! What must hold, looked at after every commit, before time passes and when everything has come to rest.

use crate::{
    clocks,
    run::{FAULT, Simulation},
    silence, tenants,
};

impl Simulation {
    pub(crate) fn look(&mut self) -> Result<(), String> {
        let Some(engine) = self.life.engine() else { return Ok(()) };
        let returned = std::mem::replace(&mut self.returned, true);
        if !returned {
            self.witness.returns(&engine)?;
        }
        self.witness.look(&engine, &self.world)?;
        if !returned {
            self.pauses_are_known();
            self.tell_of_pauses();
        }
        let head: String = engine.head_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.note(&format!("the journal is at {} {head}", self.witness.seq));
        Ok(())
    }

    pub(crate) fn look_at_silence(&mut self) -> Result<(), String> {
        // What became durable as a process ended, or while it started, has not been looked at.
        self.look()?;
        if let Some(engine) = self.life.engine() {
            self.look_at_pauses(&engine)?;
        }
        silence::check(self)?;
        clocks::check(self)
    }

    /// Nothing is under way, and nothing was left behind.
    pub(crate) fn look_at_rest(&mut self) -> Result<(), String> {
        let Some(engine) = self.life.engine() else { return Err("the engine is not there".to_owned()) };
        let mut broken = engine.audit_all()?;
        let inbox = engine.inbox()?;
        if !inbox.is_empty() {
            broken.push(format!("messages are left in the inbox: {inbox:?}"));
        }
        for activity in engine.activities(usize::MAX)? {
            broken.push(format!("an activity is left: {activity:?}"));
        }
        if engine.views().reached() < engine.last_seq() {
            broken.push("the lists are behind the journal".to_owned());
        }
        if engine.relayed_seq() < engine.last_seq() {
            broken.push("the endpoint was not told of everything".to_owned());
        }
        if !self.asked.is_empty() || !self.agenda.is_empty() {
            broken.push(format!("not answered: {:?}; not done: {:?}", self.asked, self.agenda));
        }
        for letter in engine.dead_letters(None)? {
            // What crashes an entity is kept for reading, and so is what an outage of hours or an operator made the engine
            // give up.
            let expected = ["command", "activity", "report"].contains(&letter.kind.as_str())
                || letter.reason.contains(FAULT);
            if !expected {
                broken.push(format!("a dead letter: {} {}", letter.kind, letter.reason));
            }
        }
        if let Some(run) = engine.replay_run().filter(|run| run.differing > 0 || run.failed.is_some()) {
            broken.push(format!("entities differ from their journals: {run:?}"));
        }
        if let Some(paused) = engine.paused(None).first() {
            broken.push(format!("still paused: {paused:?}"));
        }
        broken.extend(tenants::leaks(self, &engine)?);
        broken.extend(clocks::left_behind(self, &engine)?);
        for accepted in self.world.with_ledger(|ledger| ledger.twice()) {
            broken.push(format!("it went out twice: {accepted}"));
        }
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
    }
}
