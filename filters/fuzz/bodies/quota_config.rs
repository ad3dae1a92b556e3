//! Any parameters of the quota filter are read or refused in one line.

use quota::config::Settings;

/// A document.
pub fn quota_config(data: &[u8]) {
    match Settings::parse(data) {
        Ok(settings) => {
            for (route, place) in settings.routes() {
                assert_eq!(settings.route(route), place);
                assert!(settings.knows(route) && place < settings.plans.len());
            }
            assert!(settings.route(b"\xff no name of a route") < settings.plans.len());
            for plan in &settings.plans {
                for (place, policy) in &plan.policies {
                    assert_eq!(settings.policies[*place].name, policy.name);
                }
            }
        }
        Err(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}"),
    }
}
