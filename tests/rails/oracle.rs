//! ActiveSupport, asked over a pipe.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::documents::{Document, Style};

/// A Ruby process that writes documents; it ends with its handle.
pub struct Rails {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A document as Rails writes it.
#[derive(Debug)]
pub struct Written {
    pub json: String,
    pub xml: String,
}

impl Rails {
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rails/oracle.rb");
        let mut child = Command::new("ruby")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ruby is missing: install ruby-activesupport and ruby-builder");
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, questions, answers }
    }

    pub fn write(&mut self, document: &Document, style: Style) -> Written {
        let question = json!({
            "root": document.root,
            "style": style.name(),
            "value": document.value,
        });
        let answer = self.ask(&question);
        let text = |name: &str| {
            let bytes = BASE64_STANDARD.decode(answer[name].as_str().expect("a text"));
            String::from_utf8(bytes.expect("base64")).expect("UTF-8")
        };
        Written { json: text("json"), xml: text("xml") }
    }
}

impl Rails {
    /// The singulars of names.
    pub fn singulars(&mut self, names: &[&str]) -> Vec<String> {
        let answer = self.ask(&json!({"names": names}));
        serde_json::from_value(answer).expect("a list of names")
    }

    /// What a body in XML is read as; none if it is refused.
    pub fn read(&mut self, body: &str) -> Option<Value> {
        self.ask(&json!({"body": body})).get("read").cloned()
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").expect("a Ruby process that reads");
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("a Ruby process that writes");
        assert!(read > 0, "Ruby ended: install ruby-activesupport and ruby-builder; {question}");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Rails {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
