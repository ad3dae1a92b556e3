//! Parameters and routes that come and go.

use super::*;

#[test]
fn parameters_that_are_wrong_are_refused_in_one_line() {
    let _vm = Rig::new(&requests());
    fake::take_calls();
    assert!(!configure(2, &requests().replace("\"workers\"", "\"wokers\"")));
    let lines = fake::take_calls();
    assert!(matches!(&lines[..], [Call::Log(Level::Error, line)] if line.contains("wokers")));
    assert_eq!(with(|vm| vm.worker.roots.newest()), Some(ROOT));
}

#[test]
fn what_is_known_survives_new_parameters() {
    let rig = Rig::serving(&tokens());
    rig.request(7, "anna");
    rig.reply(&reserved(5, 900_000));
    rig.request(8, "bob");
    rig.reply(&[&refused(5_000)[..], &[0]].concat());
    rig.request(9, "carl");
    fake::take_calls();
    assert!(configure(2, &tokens().replace("\"amount\": 10", "\"amount\": 20")));
    // One under way, one known, and one whose response is still to come.
    rig.reply(&reserved(5, 900_000));
    assert_eq!(resumed(fake::take_calls()), [9]);
    rig.request(10, "bob");
    assert_eq!(answers(fake::take_calls()), [(10, 429, "sluice_limited".to_owned())]);
    rig.respond(7, "200", &["{\"usage\": {\"total\": 3}}"]);
    assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 3"]);
}

#[test]
fn a_root_that_is_gone_is_noticed_by_the_others() {
    let mut rig = Rig::serving(&requests());
    assert!(configure(2, &requests().replace("\"amount\": 10", "\"amount\": 20")));
    rig.tick(20);
    fake::forget_context(2);
    rig.tick(5);
    rig.request(7, "anna");
    rig.reply(&allowed(9));
    assert_eq!(resumed(fake::take_calls()), [7]);
    let policy = &rig.respond(7, "200", &["{}"])[0].1;
    assert_eq!(policy, "\"per-key\";q=10;w=3600");
}

#[test]
fn a_route_that_nobody_named_has_the_policies_of_the_gateway() {
    let two = [limit("per-key", "null", "")];
    let rig = Rig::serving(&document(&two, r#"{"shop": [0], "free": []}"#));
    let key = [("x-api-key", "anna")];
    assert_eq!(rig.request_by(7, "free", &key), Action::Continue);
    assert_eq!(rig.request_by(7, "other", &key), Action::Continue);
    assert_eq!(rig.request_by(8, "shop", &key), Action::Pause);
    let all = document(&two, "{}").replace("\"otherwise\": []", "\"otherwise\": [0]");
    let rig = Rig::serving(&all);
    assert_eq!(rig.request_by(7, "other", &key), Action::Pause);
}

#[test]
fn a_route_of_replaced_parameters_goes_on_for_a_moment() {
    let mut rig = Rig::serving(&requests());
    let renamed = document(&[limit("per-key", "null", "")], r#"{"new": [0]}"#);
    assert!(configure(ROOT, &renamed));
    assert_eq!(rig.request(7, "anna"), Action::Pause);
    rig.reply(&allowed(9));
    rig.tick(11_000);
    assert_eq!(rig.request(8, "anna"), Action::Continue);
}

#[test]
fn with_one_plan_routes_are_looked_at_now_and_then() {
    let rig = Rig::serving(&document(&[limit("per-key", "null", "required")], ALL));
    let refused = |request| {
        rig.request_by(request, "other", &[]);
        !answers(fake::take_calls()).is_empty()
    };
    rig.request_by(7, "shop", &[]);
    fake::take_calls();
    assert_eq!((8..200).take_while(|request| refused(*request)).count(), 64);
    assert!(!refused(300));
}
