//! Documents of every class that a webhook may be sent, made anew and always the same; none of it is anybody's data.
//!
//! What real senders post is like [`push`] (code forges: long hex strings, URLs, some text beyond ASCII) and [`order`]
//! (shops: many short fields, numbers, literal names). The others are each all of one thing.

use std::fmt::Write as _;

/// xorshift64: any values, the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// An array of `item`s, as many as fit into `bytes`, and one at least.
fn array(bytes: usize, start: &str, end: &str, mut item: impl FnMut(&mut Random) -> String) -> Vec<u8> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut text = start.to_owned();
    let mut separator = "";
    loop {
        let next = item(&mut random);
        if !separator.is_empty() && text.len() + next.len() + 1 + end.len() > bytes {
            break;
        }
        text += separator;
        text += &next;
        separator = ",";
    }
    (text + end).into_bytes()
}

/// Like the push events of a code forge.
pub fn push(bytes: usize, message: &str) -> Vec<u8> {
    let hash = |random: &mut Random| {
        format!("{:016x}{:016x}{:08x}", random.next(), random.next(), random.next() as u32)
    };
    let start = r#"{"ref":"refs/heads/main","size":1,"forced":false,"id":1296269,"score":1.25,"commits":["#;
    if bytes < 600 {
        return array(bytes, start, "]}", |random| format!(r#""{}""#, hash(random)));
    }
    array(bytes, start, "]}", |random| {
        let id = hash(random);
        let mut commit =
            format!(r#"{{"id":"{id}","tree_id":"{}","distinct":true,"message":"{message}""#, hash(random));
        let _ = write!(
            commit,
            r#","timestamp":"2024-05-11T11:12:13+02:00","url":"https://example.org/project/commit/{id}","author":{{"name":"zoë","email":"zoe@users.noreply.example.org","username":"zoe"}},"added":["src/mod_1.rs"],"removed":[],"modified":["Cargo.toml","src/lib.rs"]}}"#
        );
        commit
    })
}

/// Like the orders of a shop.
pub fn order(bytes: usize) -> Vec<u8> {
    let start =
        r#"{"id":820982911946154508,"app_id":null,"buyer_accepts_marketing":true,"currency":"USD","items":["#;
    if bytes < 600 {
        return array(bytes, start, "]}", |random| {
            format!(r#"{{"id":{},"gift":false}}"#, random.below(1 << 40))
        });
    }
    array(bytes, start, "]}", |random| {
        let mut item = format!(
            r#"{{"id":{},"variant_id":{},"title":"Kettle - 1 l","quantity":{},"sku":"KETTLE1L","variant_title":null,"vendor":null"#,
            random.below(1 << 60),
            random.below(1 << 30),
            1 + random.below(9)
        );
        let _ = write!(
            item,
            r#","requires_shipping":true,"taxable":true,"gift_card":false,"properties":[],"grams":{},"price":"199.00","price_set":{{"shop_money":{{"amount":"199.00","currency_code":"USD"}},"presentment_money":{{"amount":"199.00","currency_code":"USD"}}}},"tax":{}.{:02}}}"#,
            random.below(9999),
            random.below(50),
            random.below(100)
        );
        item
    })
}

/// An order as a sender that indents writes it.
pub fn order_pretty(bytes: usize) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_slice(&order(bytes / 2)).expect("an order is valid");
    serde_json::to_vec_pretty(&value).expect("a value can be written")
}

const MESSAGE: &str = "Überarbeite README: typo";
const MESSAGE_WITH_ESCAPES: &str = r#"Fix \"quoted\" path handling\n\nSigned-off-by: zoë <z@b.c>"#;

/// What a document of so many bytes is like.
pub type Class = (&'static str, fn(usize) -> Vec<u8>);

/// Documents like those that real senders post.
pub const WEBHOOKS: [Class; 4] = [
    ("push", |bytes| push(bytes, MESSAGE)),
    ("push-escapes", |bytes| push(bytes, MESSAGE_WITH_ESCAPES)),
    ("order", order),
    ("order-pretty", order_pretty),
];

/// Documents that are all of one thing.
pub const EXTREMES: [Class; 22] = [
    ("objects", |bytes| {
        array(bytes, "[", "]", |random| format!(r#"{{"id":{},"name":"n"}}"#, random.below(1 << 30)))
    }),
    ("floats", |bytes| {
        array(bytes, "[", "]", |random| {
            format!("{}.{}", random.below(1000) as i64 - 500, random.below(1 << 50))
        })
    }),
    ("integers", |bytes| array(bytes, "[", "]", |random| random.below(1_000_000).to_string())),
    ("points", |bytes| {
        array(bytes, "[", "]", |random| {
            let mut degree =
                |most| format!("{}.{:06}", random.below(most) as i64 - 90, random.below(1_000_000));
            format!("[{},{}]", degree(360), degree(180))
        })
    }),
    ("long-string", |bytes| {
        format!(r#"{{"text":"{}"}}"#, "some plain words ".repeat(bytes / 17)).into_bytes()
    }),
    ("cjk", |bytes| format!(r#"{{"text":"{}"}}"#, "中文字符测试文本，".repeat(bytes / 27)).into_bytes()),
    ("short-cjk", |bytes| array(bytes, "[", "]", |_| r#""中文字符""#.into())),
    ("words", |bytes| array(bytes, "[", "]", |_| r#""words""#.into())),
    ("escapes", |bytes| array(bytes, "[", "]", |_| r#""a\nb\"c\"\t\\d\u00e9\u4e2d""#.into())),
    ("unicode-escapes", |bytes| array(bytes, "[", "]", |_| r#""\u4e2d\u6587\ud83d\ude00""#.into())),
    ("literals", |bytes| {
        array(bytes, "[", "]", |random| ["true", "false", "null"][random.below(3) as usize].into())
    }),
    ("ones", |bytes| array(bytes, "[", "]", |_| "1".into())),
    ("empty-arrays", |bytes| array(bytes, "[", "]", |_| "[]".into())),
    ("deep", |bytes| array(bytes, "[", "]", |_| format!("{}{}", "[".repeat(1000), "]".repeat(1000)))),
    ("log-text", |bytes| {
        format!(r#"{{"log":"{}"}}"#, r"GET /a/b 200 0.012s\n".repeat(bytes / 21)).into_bytes()
    }),
    ("base64-lines", |bytes| {
        format!(r#"{{"file":"{}"}}"#, format!(r"{}\r\n", "QUJDRGVm".repeat(8)).repeat(bytes / 68))
            .into_bytes()
    }),
    ("only-true", |bytes| array(bytes, "[", "]", |_| "true".into())),
    ("hashes", |bytes| array(bytes, "[", "]", |random| random.next().to_string())),
    ("powers", |bytes| {
        array(bytes, "[", "]", |random| {
            format!("{}.{:03}e-{}", 1 + random.below(9), random.below(1000), random.below(300))
        })
    }),
    ("long-integers", |bytes| array(bytes, "[", "]", |_| "1234567890".repeat(100))),
    ("surrogates", |bytes| array(bytes, "[", "]", |_| r#""\ud800""#.into())),
    ("at-the-limit", |bytes| {
        let inner = array(bytes.saturating_sub(2046), "[", "]", |_| "[]".into());
        ["[".repeat(1022).into_bytes(), inner, "]".repeat(1022).into_bytes()].concat()
    }),
];
