//! Cron's figures for Prometheus. Only the instance that fires has any but the first.

use gorgone_runtime::Exposition;

use crate::leader::Figures;

/// Writes them; nothing stands for an instance that does not fire.
pub(crate) fn write(text: &mut Exposition, figures: Option<&Figures>) {
    text.gauge(
        "gorgone_cron_leads",
        "1 in the instance that fires, 0 in those that stand by.",
    )
    .count(u64::from(figures.is_some()));
    let Some(figures) = figures else {
        return;
    };
    text.gauge("gorgone_cron_jobs", "Jobs that there are.")
        .count(figures.jobs as u64);
    text.gauge("gorgone_cron_runs", "Runs that have not ended.")
        .count(figures.runs as u64);
    text.counter(
        "gorgone_cron_begun_total",
        "Scheduled runs that were begun since this instance fires.",
    )
    .count(figures.begun);
    text.counter(
        "gorgone_cron_late_seconds_total",
        "How long after their instants these were begun, together.",
    )
    .count(figures.late.as_secs());
    let mut family = text.counter(
        "gorgone_cron_skipped_total",
        "Instants that had no run since this instance fires, by reason.",
    );
    for (reason, count) in &figures.skipped {
        family.sample(&[("reason", reason)], *count as f64);
    }
}
