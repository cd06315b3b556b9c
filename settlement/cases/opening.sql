-- name: operator_of_code
-- The operator whose bonds have this code.
select provider_id from settlement.deposit_code where code = $1::bytea and provider_id is not null

-- name: operator_known
-- Whether this operator is enrolled.
select exists (select from settlement.operator where provider_id = $1::uuid)

-- name: bonds_of_operator
-- The bonds that count for an operator and are not over.
select address from settlement.bond
 where provider_id = $1::uuid and state in ('posted', 'retiring') order by address

-- name: paid_requests
-- What the books say of these requests: who paid whom, and how much.
select r.id as request_id, c.user_account, c.gross, o.name as operator
  from unnest($1::uuid[]) as r (id)
  join lateral (select y.user_account, y.operator_account, y.gross from settlement.charge y
                 where y.request_id = r.id limit 1) as c on true
  join settlement.account o on o.account_id = c.operator_account

-- name: add_case
-- A case, as its first person says it.
insert into settlement.fraud_case (case_id, provider_id, bond_address, reason_code, reason, manifest,
                                   evidence, opened_at, opened_by)
values ($1::uuid, $2::uuid, $3::text, $4::integer, $5::text, $6::text, $7::bytea, $8::timestamptz,
        $9::text)

-- name: add_file
-- A file of a case's evidence.
insert into settlement.case_file (case_id, name, size, digest, content)
values ($1::uuid, $2::text, $3::bigint, $4::bytea, $5::bytea)

-- name: add_requests
-- The requests of a case.
insert into settlement.case_request (case_id, request_id, user_account, paid, claimed)
select $1::uuid, x.id, x.user_account, x.paid, x.claimed
  from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
         as x (id, user_account, paid, claimed)

-- name: lock_case
-- Keeps everybody else from moving a case until the transaction ends.
select from settlement.fraud_case where case_id = $1::uuid for update

-- name: move_case
-- Where a case stands from now on.
update settlement.fraud_case set state = $2::text where case_id = $1::uuid

-- name: review_case
-- What the second person says of a case.
update settlement.fraud_case
   set state = $2::text, reviewed_at = $3::timestamptz, reviewed_by = $4::text,
       review_note = $5::text, review_accepts = $6::boolean
 where case_id = $1::uuid

-- name: close_case
-- The end of a case.
update settlement.fraud_case
   set state = 'closed', closed_at = $2::timestamptz, closed_by = $3::text, close_note = $4::text
 where case_id = $1::uuid

-- name: credits_open
-- Whether credits of a case's approved list are still to be settled.
select exists (select from settlement.case_credit y
                 join settlement.case_list l using (case_id, list_no)
                where y.case_id = $1::uuid and l.approved_at is not null and y.settled_at is null)
