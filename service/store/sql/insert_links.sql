-- Remember which message an operator's id belongs to.
-- $1 smpp_msgid, $2 message_id; each a text as store/columns.py joins it
INSERT INTO billing_link (smpp_msgid, message_id)
SELECT * FROM unnest(
    string_to_array($1, E'\x1f', E'\x1e'),
    string_to_array($2, E'\x1f', E'\x1e')
)
ON CONFLICT (smpp_msgid, message_id) DO NOTHING
