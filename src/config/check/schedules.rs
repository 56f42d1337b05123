//! The mistakes of schedules, each at its line.

use throughline_workflows::{
    message::is_generic_name,
    schedule::cron::{self, CronError},
    time::Timestamp,
};

use super::Checks;
use crate::config::Config;

impl Checks<'_> {
    /// Checks the schedules, which stand for the whole server.
    pub(super) fn schedules(&mut self, config: &Config) {
        for (name, schedule) in &config.schedules {
            let at = |key: &'static str| ["schedules", name.as_str(), key];
            if !is_generic_name(name) {
                let message = "cannot be a schedule's name: 1 to 63 of a-z, 0-9, '-' and '_'".to_owned();
                self.refuse(&["schedules", name], message);
            }
            if schedule.cron.is_empty() {
                self.refuse(&["schedules", name], "has no cron: when it runs".to_owned());
            } else {
                match cron::next(&schedule.cron, &schedule.timezone, Timestamp::default()) {
                    Ok(_) => {}
                    Err(CronError::Timezone) => self.need(false, &at("timezone")),
                    Err(CronError::Expression | CronError::NumberedDays) => self.need(false, &at("cron")),
                }
            }
            self.need(config.tenant(&schedule.tenant).is_some(), &at("tenant"));
            match (&schedule.report, &schedule.sweep) {
                (None, None) => {
                    self.refuse(&["schedules", name], "has neither a report nor a sweep".to_owned());
                }
                (Some(_), _) => self.need(schedule.work().is_some(), &at("report")),
                (None, Some(_)) => self.need(schedule.work().is_some(), &at("sweep")),
            }
        }
    }
}
