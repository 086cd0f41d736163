//! SIGHUP: what of the configuration changes while the server runs, and what is said of the rest.
//!
//! Owns the order of it: what can't be read changes nothing, what can change does so at once or with the next generation, and each key whose
//! change has to wait for a start is named. Called by the loop.

use std::sync::Arc;

use super::Supervisor;
use crate::mail::ShardMail;
use crate::supervise::access_log::AccessLogFile;
use crate::supervise::machine::Event;
use crate::supervise::settings::restart_keys;

impl Supervisor {
    pub(super) fn reload(&mut self) {
        let mut config = match (self.setup.reconfigure)(self.site.scales()) {
            Ok(config) => config,
            Err(message) => {
                tracing::error!("{message}");
                tracing::error!("reload refused: the configuration is unusable; the old one goes on");
                return self.site.failed(message);
            }
        };
        if config.app.is_some() != self.setup.config.app.is_some() {
            let reason = "adding or removing [app] takes a restart";
            tracing::warn!("reload refused: {reason}");
            return self.site.failed(reason.to_owned());
        }
        if let Some(certificates) = &self.certificates {
            certificates.reload(&config, &self.setup.shards);
            self.acme.follow(&config);
        }
        for key in restart_keys(&self.started, &config) {
            tracing::warn!("{key} has changed: that takes effect at the next start");
        }
        self.programs.reload(&config.programs);
        self.available.clone_from(&config.programs);
        self.put_workers(&mut config);
        let config = Arc::new(config);
        self.setup.config = config.clone();
        self.start_scaling();
        let pool = config.app.as_ref().map(|app| self.pool_wanted(app));
        self.mail(|| ShardMail::Config(config.clone()));
        self.change_access_log();
        self.watch_maintenance();
        self.watch_files();
        match pool {
            // The routes come with the generation that knows what Django says of them.
            Some(pool) => self.handle(Event::Reload(pool)),
            None => {
                self.send_routes(None);
                tracing::info!("reloaded");
            }
        }
    }

    /// Opens another access log, if another one is wanted.
    fn change_access_log(&mut self) {
        let Some(wanted) = self.setup.config.server.access_log.clone() else {
            if self.access_log.is_some() {
                tracing::warn!("server.access_log has been turned off: that takes effect at the next start");
            }
            return;
        };
        if self.access_log.as_ref().is_some_and(|log| *log.config() == wanted) {
            return;
        }
        match AccessLogFile::open(&wanted) {
            Ok(log) => {
                self.access_log = Some(log.into());
                self.start_access_log();
                tracing::info!("another access log is written");
            }
            Err(message) => tracing::error!("{message}; what was written before goes on"),
        }
    }
}
