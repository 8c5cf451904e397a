def test_a_clip_goes_in_and_a_number_comes_out(http, score_body):
    answer = http.post("/v1/score", json=score_body)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert isinstance(body["reward"], float)
    assert body["model"]["name"] == "tiny"
