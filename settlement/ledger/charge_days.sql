-- name: days_ahead
-- How many days after today there is a partition for; less than 0 when there is none for today.
select coalesce(max(day) - (clock_timestamp() at time zone 'utc')::date, -1)
  from settlement.charge_day where state = 'attached'
