//! Any parameters are read or refused in one line.

use sale::config::Settings;

/// A document.
pub fn config(data: &[u8]) {
    match Settings::parse(data) {
        Ok(settings) => {
            for (route, index) in settings.routes() {
                assert_eq!(settings.route(route), Some(index));
                assert!(index < settings.sales.len());
            }
        }
        Err(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}"),
    }
}
