//! `inrush snippet NAME --lang LANG`: a complete program that posts a JSON file to the webhook.
//!
//! The programs stand in `snippet/`, one per language, as they are printed but for the placeholders `{{name}}` and
//! `{{url}}` and the lines that start with `@secret`, which are left out when the webhook has no secret. Each
//! takes a file as its argument, the secret from INRUSH_SECRET, prints the status and the event's id, and fails
//! unless the status is 2xx. `tests/clients.rs` runs every one of them as printed.

use clap::{Args, ValueEnum};

use super::{Failure, Options, installed, print};

/// The arguments of `snippet`.
#[derive(Debug, Args)]
pub(super) struct Snippet {
    /// The name of the webhook
    name: String,
    /// The language or tool
    #[arg(long, value_enum, default_value_t = Lang::Curl)]
    lang: Lang,
}

/// What programs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// A shell script with curl
    Curl,
    /// JavaScript on Node.js with axios
    Axios,
    /// Python with requests
    Requests,
    /// PHP with its curl extension
    Php,
    /// Go, standard library only
    Go,
    /// Java 17, standard library only
    Java,
    /// Ruby, standard library only
    Ruby,
}

impl Lang {
    fn template(self) -> &'static str {
        match self {
            Self::Curl => include_str!("snippet/curl.sh"),
            Self::Axios => include_str!("snippet/axios.js"),
            Self::Requests => include_str!("snippet/requests.py"),
            Self::Php => include_str!("snippet/php.php"),
            Self::Go => include_str!("snippet/go.go"),
            Self::Java => include_str!("snippet/java.java"),
            Self::Ruby => include_str!("snippet/ruby.rb"),
        }
    }
}

impl Snippet {
    pub(super) fn run(self, options: &Options) -> Result<(), Failure> {
        let (config, _) = options.load()?;
        let webhook = installed(&config, &self.name)?;
        print(&fill(self.lang.template(), &webhook.name, &config.url(webhook), !webhook.secrets.is_empty()))
    }
}

fn fill(template: &str, name: &str, url: &str, with_secret: bool) -> String {
    let mut program = String::with_capacity(template.len() + url.len());
    // Even in a comment some characters would end it: `?>` in PHP, `\u000a` in Java, U+2028 in JavaScript.
    let plain = |letter: char| letter.is_alphanumeric() || " -_.".contains(letter);
    let name: String = name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
    for line in template.lines() {
        let line = match line.strip_prefix("@secret") {
            Some(_) if !with_secret => continue,
            Some(line) => line.strip_prefix(' ').unwrap_or(line),
            None => line,
        };
        program.push_str(&line.replace("{{url}}", url).replace("{{name}}", &name));
        program.push('\n');
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_comment() {
        let program = fill("// {{name}} {{url}}", "?>\\u000a\u{2028}{{url}}é 1", "U", false);
        assert_eq!(program, "// ___u000a___url__é 1 U\n");
    }

    #[test]
    fn every_program_is_complete() {
        let url = "https://hooks.example.com/9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80";
        for lang in Lang::value_variants() {
            let (plain, secret) =
                (fill(lang.template(), "shop", url, false), fill(lang.template(), "shop", url, true));
            for program in [&plain, &secret] {
                assert_eq!(program.matches(url).count(), 1, "{lang:?}");
                assert!(program.contains("shop"), "{lang:?}");
                assert!(!program.contains("{{") && !program.contains("@secret"), "{lang:?}");
                assert!(program.lines().all(|line| line.len() <= 110), "{lang:?}");
            }
            assert!(!plain.contains("INRUSH_SECRET") && !plain.contains("x-bp-secret"), "{lang:?}");
            assert!(secret.contains("INRUSH_SECRET") && secret.contains("x-bp-secret"), "{lang:?}");
        }
    }
}
