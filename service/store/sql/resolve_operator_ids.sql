-- Find the message of each receipt that names it by an operator's id.
-- $1 ord: which receipt, $2 smpp_msgid: one of its ids, $3 guessed: not as given, but read in
-- another base, $4 connector_id: where it came in; each a text as store/columns.py joins it
--
-- An id as given beats a guess, and a guess must not lead to another connector. Ids collide
-- between connectors and are used again: not another connector's first, then a message that is
-- not final, then the newest; one whose CDR is yet to come may be on any connector and is not
-- final. A link that was only inferred for a part of a long message comes last.
SELECT DISTINCT ON (r.ord) r.ord, l.message_id, l.part
FROM unnest(
    string_to_array($1, E'\x1f', E'\x1e')::int[],
    string_to_array($2, E'\x1f', E'\x1e'),
    string_to_array($3, E'\x1f', E'\x1e')::boolean[],
    string_to_array($4, E'\x1f', E'\x1e')
)
    AS r (ord, smpp_msgid, guessed, connector_id)
JOIN billing_link l ON l.smpp_msgid = r.smpp_msgid
LEFT JOIN sms_cdr c ON c.message_id = l.message_id
WHERE NOT r.guessed OR coalesce(c.connector_id = r.connector_id, true)
ORDER BY
    r.ord,
    r.guessed,
    l.part,
    coalesce(c.connector_id = r.connector_id, true) DESC,
    coalesce(c.status_rank, billing_status_rank(c.status)) >= 5,
    l.seq DESC
