//! What the vectors say that a serializer alone cannot show. A test of a running server takes it over from here.

/// Vectors that are no business of a serializer at all.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[
    ("v076", "long-poll: a GET without a token creates a session"),
    ("v077", "long-poll: an empty poll is answered 204 at the end of its window"),
    ("v078", "long-poll: the token may come in a header"),
    ("v080", "long-poll: the messages of a poll are strings that hold frames"),
    ("v082", "long-poll: ndjson lines may end in CRLF"),
    ("v083", "long-poll: a content type with a parameter is not ndjson"),
    ("v084", "long-poll: a JSON body is one text frame"),
    ("v086", "long-poll: an unsupported method is answered 400"),
    ("v087", "long-poll: a vsn that is not offered is answered 403 in the body"),
    ("v088", "handshake: vsn 2.0.0 opens; that it selects V2 is checked with the list of serializers"),
    ("v089", "handshake: no vsn opens; that 1.0.0 selects V1 is checked with the list of serializers"),
    ("v090", "handshake: vsn 2.0 is refused with 403; that it selects nothing is checked with the list"),
    ("v091", "handshake: a vsn that is a list is refused with 403 by whoever reads the query"),
    ("v093", "handshake: an auth token in the subprotocol"),
    ("v094", "handshake: an auth token without padding"),
    ("v095", "handshake: an auth token without the phoenix subprotocol"),
    ("v098", "Supabase's dialect: kind 3 is refused as Phoenix refuses it, until that serializer is built"),
    ("v099", "Supabase's dialect: kind 3 is refused as Phoenix refuses it, until that serializer is built"),
    ("v100", "Supabase's dialect: no serializer writes kind 4 yet"),
];

/// Vectors whose frame is checked here, and whose consequence is not.
pub(crate) const CONSEQUENCE_LEFT_OUT: &[(&str, &str)] = &[
    ("v005", "an event with a stale join_ref is dropped without a frame"),
    ("v008", "the reply to a join echoes numbers as numbers"),
    ("v051", "a join_ref that decodes to the empty string is stale: no frame"),
    ("v052", "bytes for a topic that is not joined are answered with a text reply, unmatched topic"),
];
