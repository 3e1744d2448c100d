-- What may this role not do that the service must? config/postgres/roles.sql grants it.
-- $1 whether it writes CDRs
WITH needed AS (
    SELECT tablename, columnname, privilege
    FROM (VALUES
        ('accounts', 'id jasmin_uid', 'SELECT'),
        ('account_balances', 'account_id balance currency', 'SELECT'),
        ('account_balances', 'balance updated_at', 'UPDATE'),
        (
            'balance_ledger',
            'id account_id amount currency direction reason reference created_at',
            'INSERT'
        ),
        (
            'sms_cdr',
            'message_id account_id connector_id status status_rank parts price currency '
            'error_code dlr_payload smpp_msgid finalized_at refunded_amount',
            'SELECT'
        ),
        (
            'sms_cdr',
            'status status_rank delivery_at error_code dlr_payload smpp_msgid finalized_at '
            'confirmed_amount refunded_amount',
            'UPDATE'
        )
    ) AS gateway (tablename, columns, privilege)
    CROSS JOIN LATERAL unnest(string_to_array(columns, ' ')) AS columnname
    UNION ALL
    SELECT tablename, columnname, privilege
    FROM (VALUES
        ('accounts', 'currency', 'SELECT'),
        (
            'sms_cdr',
            'id message_id account_id connector_id msisdn sender status status_rank parts price '
            'currency submit_at created_at finalized_at confirmed_amount',
            'INSERT'
        )
    ) AS capturing (tablename, columns, privilege)
    CROSS JOIN LATERAL unnest(string_to_array(columns, ' ')) AS columnname
    WHERE $1
    UNION ALL
    SELECT tablename, NULL, privilege
    FROM (VALUES
        ('billing_event', 'SELECT INSERT UPDATE'),
        ('billing_link', 'SELECT INSERT DELETE'),
        ('billing_parked', 'SELECT INSERT UPDATE DELETE'),
        ('billing_receipt_log', 'SELECT INSERT DELETE'),
        ('billing_refund', 'SELECT INSERT UPDATE DELETE'),
        ('billing_submission', 'SELECT INSERT UPDATE')
    ) AS own (tablename, privileges)
    CROSS JOIN LATERAL unnest(string_to_array(privileges, ' ')) AS privilege
)
SELECT
    current_user AS role,
    privilege || coalesce(' (' || string_agg(columnname, ', ') || ')', '') || ' on ' || tablename
        AS privilege
FROM needed
WHERE NOT CASE
    WHEN columnname IS NULL THEN has_table_privilege(tablename, privilege)
    ELSE has_column_privilege(tablename, columnname, privilege)
END
GROUP BY tablename, privilege
ORDER BY tablename, privilege
