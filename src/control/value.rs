//! The values of XML-RPC, as far as supervisord's interface has them.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `int` or `i4`.
    Int(i32),
    /// `boolean`.
    Bool(bool),
    /// `string`, and `base64` as text.
    Text(String),
    /// `double`.
    Double(f64),
    /// `array`.
    Array(Vec<Value>),
    /// `struct`: members in their order.
    Struct(Vec<(String, Value)>),
    /// `nil`.
    Nil,
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// A number; one that is too large or small for XML-RPC is the largest or smallest.
    pub fn int(number: i64) -> Value {
        Value::Int(number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one; a boolean counts as 0 or 1, as in Python.
    pub fn as_int(&self) -> Option<i32> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Bool(flag) => Some(i32::from(*flag)),
            _ => None,
        }
    }

    /// Whether Python would take it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            Value::Double(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Struct(members) => !members.is_empty(),
            Value::Nil => false,
        }
    }

    /// A struct's member, if it is there.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }
}
