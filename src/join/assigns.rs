//! Keyed values of any type that travel with a socket.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use smol_str::SmolStr;

/// Values by key. Cloning shares them; a clone that is changed becomes a map of its own.
///
/// ```
/// use lapwing::Assigns;
///
/// let mut assigns = Assigns::default();
/// assigns.insert("user", 42u64);
/// assert_eq!(assigns.get::<u64>("user").as_deref(), Some(&42));
/// assert!(assigns.get::<String>("user").is_none(), "another type");
/// assert!(assigns.get::<u64>("other").is_none());
/// ```
#[derive(Clone, Default)]
pub struct Assigns(Option<Arc<HashMap<SmolStr, Arc<dyn Any + Send + Sync>>>>);

impl Assigns {
    /// Puts a value under a key, in the place of what was there.
    pub fn insert(&mut self, key: impl AsRef<str>, value: impl Any + Send + Sync) {
        let map = Arc::make_mut(self.0.get_or_insert_default());
        map.insert(SmolStr::new(key), Arc::new(value));
    }

    /// The value under a key, if there is one and it is of that type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.0.as_ref()?.get(key)?.clone().downcast().ok()
    }

    /// The keys that have a value, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|map| map.keys().map(SmolStr::as_str))
    }

    /// All values of both; those of `over` win.
    pub(crate) fn merged(&self, over: &Assigns) -> Assigns {
        match (&self.0, &over.0) {
            (None, _) => over.clone(),
            (_, None) => self.clone(),
            (Some(below), Some(above)) => {
                let mut all = HashMap::clone(below);
                all.extend(above.iter().map(|(key, value)| (key.clone(), value.clone())));
                Assigns(Some(Arc::new(all)))
            }
        }
    }
}

impl fmt::Debug for Assigns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}
