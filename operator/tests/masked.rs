//! The last words of the operator hold no secret.

use std::process::Command;

#[test]
fn an_error_that_ends_the_operator_is_masked() {
    let (key, password) = ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "correct-horse-battery");
    let mut program = Command::new(env!("CARGO_BIN_EXE_manyworlds-operator"));
    program.env_clear().env("MANYWORLDS_LEDGER", format!("postgres://user:{password}@127.0.0.1:1/none"));
    // The error says the filter that cannot be read.
    program.env("MANYWORLDS_LOG", format!("info,{key}={password}"));
    let output = program.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("the log filter \"info,***=***\" cannot be read"), "{said}");
    assert!(!said.contains(key) && !said.contains(password), "{said}");
}
