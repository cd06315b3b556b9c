-- The rest of the chart of accounts: what is got back, upstreams and what they cost, banks and cards,
-- the owner's drawings, and the lamports of the fee payers. An account counts whole units of its
-- asset's smallest: microunits of USDC, lamports of SOL.
set local role pod_owner;

-- `parent` is from here on the replacement for what `pattern` matched: the parent of an account is
-- regexp_replace(name, pattern, parent). For the treasury's children that is what it was before.
insert into settlement.account_kind (kind, pattern, side, asset, floored, parent, gl_code) values
  ('recovery', '^recovery$', 'revenue', 'USDC', false, null, '4090'),
  ('upstream', '^upstream:[a-z][a-z0-9_-]*$', 'liability', 'USDC', false, null, '2090'),
  ('upstream_cost', '^cost:upstream:[a-z][a-z0-9_-]*$', 'expense', 'USDC', false, null, '5010'),
  ('upstream_cost_child', '^(cost:upstream:[a-z][a-z0-9_-]*):[a-z][a-z0-9_-]*$', 'expense', 'USDC',
   false, '\1', '5010'),
  ('external', '^external:[a-z][a-z0-9_-]*$', 'asset', 'USDC', false, null, '1110'),
  ('receivable_card', '^receivable:card$', 'asset', 'USDC', false, null, '1120'),
  ('card_fees', '^fees:card$', 'expense', 'USDC', false, null, '5130'),
  ('drawings', '^drawings$', 'equity', 'USDC', false, null, '3010'),
  ('chain_sol', '^chain:sol:[1-9A-HJ-NP-Za-km-z]{32,44}$', 'asset', 'SOL', false, null, '1020'),
  ('funding_sol', '^funding:sol$', 'equity', 'SOL', false, null, '3020'),
  ('rent', '^rent$', 'expense', 'SOL', false, null, '5110'),
  ('network_fees', '^fees:network$', 'expense', 'SOL', false, null, '5120');

-- Accounts there is one of.
select settlement.open_account_v1(name, kind) from (values
  ('recovery', 'recovery'), ('receivable:card', 'receivable_card'), ('fees:card', 'card_fees'),
  ('drawings', 'drawings'), ('funding:sol', 'funding_sol'), ('rent', 'rent'),
  ('fees:network', 'network_fees')
) as x (name, kind);

reset role;
