-- Where refunds are reversed after a delivery, no delivered message keeps one.
SELECT r.message_id AS key, format('delivered, and refunded %s', r.amount) AS detail
FROM billing_refund r
JOIN sms_cdr c ON c.message_id = r.message_id
WHERE r.booked_at IS NOT NULL AND r.reversed_at IS NULL AND c.status = 'delivered'
